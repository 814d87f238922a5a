import type { TestProject } from 'vitest/node'
import { installSynapse } from './install.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    synapsePython: string
  }
}

/** Installs Synapse before any test asks for one. */
export function setup(project: TestProject): void {
  project.provide('synapsePython', installSynapse())
}
