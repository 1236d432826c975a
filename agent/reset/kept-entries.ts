/** Something that the agent keeps, by its name, or by what such names look like. */
export interface KeptEntry {
  readonly name: string | RegExp
  /** Of a folder: what the agent puts there, or `anything` where nobody else puts anything. Else it is a file or a link. */
  readonly holds?: readonly KeptEntry[] | 'anything'
}

/** In the state folder, of `lib/file-lock`. It stays: whoever waits for it has it open. */
export const lockName = 'lock'

/** What lib/atomic-file and the identity store had not finished at a crash; in every folder of the agent. */
export const unfinishedEntry: KeptEntry = { name: /^\.[0-9a-f]{12}\.tmp$/ }

/** Below `paths.state`: who the appliance is, and what it was trusted with. */
export const secretsInState: readonly KeptEntry[] = [
  {
    name: 'identity',
    holds: [
      // links, or whatever folder an operator put in their place
      ...['current', 'previous', 'versions', 'pending'].map((name) => ({ name, holds: 'anything' }) as const),
      { name: 'sealing-key' },
      ...json('(rotation|left-over)'),
    ],
  },
  { name: 'cameras', holds: [{ name: /\.sealed$/ }, ...json('refusals')] },
]

/** Below `paths.state`: all else. */
export const othersInState: readonly KeptEntry[] = [
  { name: 'config', holds: [...json('base'), ...json(String.raw`[1-9]\d{0,14}`)] },
  { name: 'jobs', holds: json('ledger') },
  { name: 'logs', holds: json('cursors') },
  ...json('clock'),
  ...json('traffic'),
  {
    name: 'artifacts',
    holds: [
      {
        name: /^/,
        holds: [
          ...['current', 'current.unreadable', 'releases', 'incoming', 'partial', 'store'].map(
            (name) => ({ name, holds: 'anything' }) as const,
          ),
          ...json('(source|activation|index|manifest|wrong)'),
        ],
      },
    ],
  },
]

/** Below `paths.runtime`. */
export const keptInRuntime: readonly KeptEntry[] = [
  { name: 'cameras', holds: [{ name: /\.json$/ }] },
  { name: 'applications', holds: 'anything' },
  { name: 'requests', holds: [{ name: /\.json$/ }] },
  { name: 'answers', holds: [{ name: /\.json$/ }] },
  { name: 'log-cursors.json.tmp' },
  ...json('(log-cursors|camera-hooks|overdue)'),
  { name: 'console-message' },
  { name: 'last-exit' },
  { name: /^\.last-exit\.\d+$/ },
  { name: 'agent.sock' },
]

/** A file of lib/json-state, and what was set aside of it, which may be whatever stood there. */
function json(name: string): readonly KeptEntry[] {
  return [
    { name: new RegExp(String.raw`^${name}\.json$`) },
    { name: new RegExp(String.raw`^${name}\.json\.unreadable$`), holds: 'anything' },
  ]
}
