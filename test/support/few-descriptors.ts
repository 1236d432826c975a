import { appendFileSync, closeSync, copyFileSync, openSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { FileLogSource } from '../../agent/logs/files/file-log-source.ts'
import type { GapRecord } from '../../agent/logs/log-source.ts'
import type { SourceEvent } from '../../agent/logs/events/source-event.ts'

/**
 * A program that has no descriptor left while the log that it follows is copied and truncated: `few-descriptors.ts
 * FOLDER`, to be run with a low limit. Prints what failed meanwhile, what it read in all, and the gaps.
 */
async function rotateWithout(folder: string): Promise<void> {
  const path = join(folder, 'app.log')
  const messages: string[] = []
  const gaps: GapRecord[] = []
  let isFull = false
  await using source = new FileLogSource({
    patterns: [
      {
        pattern: path,
        choose: (paths) => paths,
        targetOf: () => ({ group: 'group', stream: 'app' }),
        format: { timestamps: 'none', timeZone: 'utc' },
      },
    ],
    positions: { files: [], journal: undefined },
    onGap: (gap) => gaps.push(gap),
    cloudNow: Date.now,
    maxBacklogBytes: Infinity,
  })
  const offer = ({ message, origin, position }: SourceEvent): void => {
    messages.push(message)
    origin?.accepted(position)
  }
  const look = async (): Promise<void> => {
    const { signal } = new AbortController()
    await source.read({ of: () => ({ isFull, offer }) }, { signal, beat: () => undefined })
  }
  writeFileSync(path, 'one\ntwo\n')
  await look()
  isFull = true
  appendFileSync(path, 'three\n')
  await look()
  copyFileSync(path, `${path}.1`)
  truncateSync(path)
  appendFileSync(path, 'four\n')
  const taken = takeDescriptors()
  await look()
  const failures = source.failures().map(({ what, error }) => `${what}: ${String(error)}`)
  for (const descriptor of taken) closeSync(descriptor)
  isFull = false
  for (let looks = 0; looks < 3; looks += 1) await look()
  console.log(JSON.stringify({ failures, messages, gaps }))
}

function takeDescriptors(): readonly number[] {
  const taken: number[] = []
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'))
  } catch {
    return taken
  }
}

const [, , folder = ''] = process.argv
await rotateWithout(folder)
