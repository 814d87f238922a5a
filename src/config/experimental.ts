import { toPlain } from './located.ts'
import { section } from './option.ts'
import type { Option } from './option.ts'

/** Switches of `experimental_features`, as they are written. */
export type ExperimentalConfig = Readonly<Record<string, unknown>>

const experimentalFeatures: Option<ExperimentalConfig> = {
  name: 'experimental_features',
  type: 'mapping',
  defaultText: '{}',
  doc: 'Switches for proposals (MSCs) that are not in the spec yet, for example `msc3814_enabled: true`.',
  read(reader) {
    const node = reader.get('experimental_features')
    if (!node || node.value === null) return {}
    if (node.value instanceof Map) return Object.freeze(toPlain(node) as Record<string, unknown>)
    reader.problem(node.place, 'experimental_features', 'expected a mapping')
    return {}
  },
}

/** Proposals that are not in the spec yet. */
export const experimentalOptions = section('Experimental features', { experimentalFeatures })
