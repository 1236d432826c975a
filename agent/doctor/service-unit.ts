import type { RunProgram } from './run-program.ts'

/** What systemd knows of a unit. */
export interface UnitFacts {
  readonly load: string
  readonly active: string
  readonly sub: string
  readonly result: string
  readonly restarts: number
  readonly user: string
  readonly groups: readonly string[]
  /** Names of variables that the unit sets, with their values. */
  readonly environment: ReadonlyMap<string, string>
  /** Files with more of them, which come after. */
  readonly environmentFiles: readonly string[]
  readonly settings: UnitSettings
}

/** As systemd shows them; empty where they are not set. */
export interface UnitSettings {
  /** Such as `enabled` and `disabled`. */
  readonly unitFileState: string
  readonly group: string
  readonly protectHome: string
  readonly protectSystem: string
  readonly privateTmp: string
  readonly readWritePaths: string
  readonly stateDirectory: string
  readonly runtimeDirectory: string
}

const properties = [
  'LoadState',
  'ActiveState',
  'SubState',
  'Result',
  'NRestarts',
  'User',
  'SupplementaryGroups',
  'Environment',
  'EnvironmentFiles',
  'UnitFileState',
  'Group',
  'ProtectHome',
  'ProtectSystem',
  'PrivateTmp',
  'ReadWritePaths',
  'StateDirectory',
  'RuntimeDirectory',
]

/** Asks systemd; undefined where it cannot be asked. Throws on abort alone. */
export async function readUnit(unit: string, run: RunProgram, signal: AbortSignal): Promise<UnitFacts | undefined> {
  const { exitCode, stdout } = await run(
    'systemctl',
    ['show', `--property=${properties.join(',')}`, '--', unit],
    signal,
  )
  if (exitCode !== 0) return undefined
  const values = new Map(
    stdout.split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  )
  const text = (name: string): string => values.get(name) ?? ''
  return {
    load: text('LoadState'),
    active: text('ActiveState'),
    sub: text('SubState'),
    result: text('Result'),
    restarts: Number(text('NRestarts')) || 0,
    user: text('User'),
    groups: text('SupplementaryGroups')
      .split(' ')
      .filter((name) => name !== ''),
    environment: new Map(assignments(text('Environment'))),
    environmentFiles: [...stdout.matchAll(/^EnvironmentFiles=(\/.*?)(?: \(ignore_errors=\w+\))?$/gm)].map(
      ([, path = '']) => path,
    ),
    settings: {
      unitFileState: text('UnitFileState'),
      group: text('Group'),
      protectHome: text('ProtectHome'),
      protectSystem: text('ProtectSystem'),
      privateTmp: text('PrivateTmp'),
      readWritePaths: text('ReadWritePaths'),
      stateDirectory: text('StateDirectory'),
      runtimeDirectory: text('RuntimeDirectory'),
    },
  }
}

/** `A=1 "B=two words"`, as systemd shows them. */
function assignments(text: string): readonly (readonly [string, string])[] {
  const words = text.match(/"(?:\\.|[^"\\])*"|\S+/g) ?? []
  return words.flatMap((word) => {
    const [, name, value = ''] = /^"?([A-Za-z_]\w*)=(.*?)"?$/s.exec(word) ?? []
    return name === undefined ? [] : [[name, value] as const]
  })
}
