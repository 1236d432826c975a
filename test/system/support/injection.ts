import { cp, mkdir } from 'node:fs/promises'
import { join } from 'node:path'

import { paths, type ApplianceOptions } from './appliance.ts'

/** The file that, once it is there, sets the injected fault off. The agent's own user may remove it. */
export const trigger = `${paths.runtime}/trigger`

const inImage = '/usr/local/lib/panorama-agent-test'
const folder = join(import.meta.dirname, '..', 'injected')

export interface InjectionOptions {
  /** Files of `test/system/injected/`, without `.ts`. */
  readonly modules: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Further lines of the drop-in. */
  readonly lines?: readonly string[]
}

/** Loads modules into the agent that an appliance runs, by a drop-in: the agent itself has no hook for tests. */
export function injected(options: InjectionOptions): Required<Pick<ApplianceOptions, 'dropIns' | 'prepare'>> {
  const { modules, env, lines = [] } = options
  const imports = modules.map((name) => `--import=${inImage}/${name}.ts`).join(' ')
  const settings = Object.entries({ NODE_OPTIONS: imports, ...env }).map(
    ([key, value]) => `Environment="${key}=${value}"`,
  )
  return {
    dropIns: { injected: ['[Service]', ...settings, ...lines, ''].join('\n') },
    prepare: async (image) => {
      await mkdir(join(image, inImage), { recursive: true })
      for (const name of modules) await cp(join(folder, `${name}.ts`), join(image, inImage, `${name}.ts`))
    },
  }
}
