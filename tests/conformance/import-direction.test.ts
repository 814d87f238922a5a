import { expect, test } from 'vitest'
import { findImportProblems } from '../../scripts/check/imports.ts'

function find(files: Record<string, string>): string[] {
  return findImportProblems(new Map(Object.entries(files)))
}

test('an import of a layer above is found, also of a type', () => {
  const files = {
    'src/util/a.ts': "import type { B } from '../services/b.ts'\n",
    'src/services/b.ts': "import { a } from '../util/a.ts'\n",
  }
  expect(find(files)).toEqual(['src/util/a.ts imports src/services/b.ts: util may not import from services, which is above it'])
})

test('storage must not know HTTP', () => {
  expect(find({ 'src/storage/a.ts': "import { x } from '../http/x.ts'\n", 'src/http/x.ts': '' })).toHaveLength(1)
})

test('a cycle of values is found, one of types is fine', () => {
  const cycle = { 'src/util/a.ts': "import { b } from './b.ts'\n", 'src/util/b.ts': "import {\n  a,\n} from './a.ts'\n" }
  expect(find(cycle)).toEqual(['cycle: src/util/a.ts -> src/util/b.ts -> src/util/a.ts'])
  expect(find({ ...cycle, 'src/util/b.ts': "import type { A } from './a.ts'\n" })).toEqual([])
})

test('an import of nothing, of a test, and of a folder that is no layer are found', () => {
  expect(find({ 'src/util/a.ts': "import { b } from './b.ts'\n" })).toHaveLength(1)
  expect(find({ 'src/util/a.ts': "import { b } from '../../tests/b.ts'\n", 'tests/b.ts': '' })).toHaveLength(1)
  expect(find({ 'src/util/a.ts': "import { b } from '../odd/b.ts'\n", 'src/odd/b.ts': '' })).toHaveLength(1)
})
