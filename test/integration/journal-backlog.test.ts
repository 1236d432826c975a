import { existsSync } from 'node:fs'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, it } from 'vitest'

import { bytesBehind } from '../../agent/logs/journal/journal-backlog.ts'
import { journalctlStarter } from '../../agent/logs/journal/journal-child.ts'
import { readJournalFiles } from '../../agent/logs/journal/journal-files.ts'
import type { JournalState } from '../../agent/logs/journal/journal-position.ts'
import { JournalSource } from '../../agent/logs/journal/journal-source.ts'
import type { GapRecord } from '../../agent/logs/log-source.ts'
import type { SourceEvent } from '../../agent/logs/events/source-event.ts'
import { runCommand } from '../support/run-command.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { waitUntil } from '../support/wait-until.ts'

const writer = '/usr/lib/systemd/systemd-journal-remote'
const isThere = existsSync(writer) && existsSync('/usr/bin/journalctl')
if (!isThere) console.log(`left out: real journal files need ${writer} and journalctl`)

const boots = ['a'.repeat(32), 'b'.repeat(32)] as const
const perBoot = 4_000
const target = { group: 'g', stream: 's' }

describe.skipIf(!isThere)('the files of a real journal', () => {
  it('tell how much is behind an entry, and where to go on, even where times are uneven', async () => {
    await using journal = await Journal.make()
    const files = await readJournalFiles([journal.folder])
    expect(files).toMatchObject([{ serials: { first: 1, last: 2 * perBoot }, lastBootId: boots[1] }])
    const usedBytes = files[0]?.usedBytes ?? 0
    expect(usedBytes).toBeGreaterThan(2 * perBoot * 100)

    const first = await journal.read({ maxBacklogBytes: Infinity, state: undefined, bootId: boots[0] })
    expect(first.messages).toHaveLength(perBoot)
    const start = first.stateAfter(10)
    const [cursor] = start.cursors
    if (cursor === undefined) throw new Error('no cursor')
    const behindBytes = bytesBehind(cursor, files, boots)
    expect(behindBytes / usedBytes).toBeCloseTo((2 * perBoot - 10) / (2 * perBoot), 3)

    for (const entries of [500, perBoot - 100, perBoot + 500]) {
      const maxBacklogBytes = Math.floor((usedBytes * entries) / (2 * perBoot))
      const { messages, gaps } = await journal.read({ maxBacklogBytes, state: start, bootId: boots[1] })
      expect(messages.at(-1)).toBe(`1 ${perBoot - 1}`)
      expect(messages.length).toBeLessThanOrEqual(0.9 * entries + 1)
      expect(messages.length).toBeGreaterThan(0.8 * entries)
      expect(new Set(messages).size).toBe(messages.length)
      expect(gaps).toMatchObject([{ reason: 'too far behind', target }])
    }
  })

  it('are no reason to jump while what is behind is within the bound', async () => {
    await using journal = await Journal.make()
    const { messages, gaps } = await journal.read({
      maxBacklogBytes: 1_073_741_824,
      state: { boots: [...boots], cursors: [{ ...target, bootId: boots[0] }] },
      bootId: boots[1],
    })
    expect(messages).toHaveLength(2 * perBoot)
    expect(gaps).toEqual([])
  })
})

it('of the journal that are none, or not there, are told', async () => {
  await using folder = await tempFolder()
  await expect(readJournalFiles([join(folder.path, 'no'), join(folder.path, 'none')])).rejects.toThrow(
    'there is neither',
  )
  await writeFile(join(folder.path, 'system.journal'), 'no journal')
  await writeFile(join(folder.path, 'other.txt'), 'no journal')
  await expect(readJournalFiles([folder.path, join(folder.path, 'none')])).resolves.toEqual([])
  await mkdir(join(folder.path, 'system@1.journal'))
  await expect(readJournalFiles([folder.path])).rejects.toThrow('no file of the journal can be read')
  await expect(readJournalFiles([join(folder.path, 'system.journal')])).rejects.toThrow('cannot be read')
})

interface Reading {
  readonly maxBacklogBytes: number
  readonly state: JournalState | undefined
  readonly bootId: string
}

/** Two boots in one file, the second by a clock that was set back, most of its entries in a burst. */
class Journal implements AsyncDisposable {
  readonly folder: string
  readonly #owned: AsyncDisposableStack

  private constructor(folder: string, owned: AsyncDisposableStack) {
    this.folder = folder
    this.#owned = owned
  }

  static async make(): Promise<Journal> {
    await using owned = new AsyncDisposableStack()
    const { path } = owned.use(await tempFolder())
    const folder = join(path, 'journal')
    await mkdir(folder)
    await writeFile(join(path, 'entries'), boots.map((_, boot) => exportedEntries(boot)).join(''))
    await runCommand('sh', ['-c', `${writer} -o ${folder}/system.journal - <${path}/entries`])
    const script = `case "$*" in *--file=*) exec journalctl "$@";; *) exec journalctl -D ${folder} "$@";; esac`
    await writeFile(join(path, 'journalctl'), `#!/bin/sh\n${script}\n`)
    await chmod(join(path, 'journalctl'), 0o755)
    return new Journal(folder, owned.move())
  }

  /** Reads all that a source has to say. */
  async read({ maxBacklogBytes, state, bootId }: Reading): Promise<{
    readonly messages: readonly string[]
    readonly gaps: readonly GapRecord[]
    /** The state once so many events were accepted. */
    readonly stateAfter: (accepted: number) => JournalState
  }> {
    const gaps: GapRecord[] = []
    const events: SourceEvent[] = []
    await using source = new JournalSource({
      sources: [{ kind: 'journal', unit: 'app.service' }],
      targetOf: () => target,
      ownUnit: 'panorama-agent.service',
      state,
      clock: { bootId, atMsOf: (us) => us / 1_000 },
      cloudNow: Date.now,
      onGap: (gap) => gaps.push(gap),
      start: journalctlStarter(join(this.folder, '../journalctl')),
      bounds: { maxBacklogBytes, oldestMs: () => undefined, files: () => readJournalFiles([this.folder]) },
    })
    const sink = { isFull: false, offer: (event: SourceEvent) => events.push(event) }
    const last = `${boots.indexOf(bootId)} ${perBoot - 1}`
    await waitUntil('the last entry comes', async () => {
      await source.read({ of: () => sink }, { signal: new AbortController().signal, beat: () => undefined })
      return events.at(-1)?.message === last
    })
    const stateAfter = (accepted: number): JournalState => {
      for (const { origin, position } of events.slice(0, accepted)) origin?.accepted(position)
      if (source.state === undefined) throw new Error('no state')
      return source.state
    }
    const accepted = stateAfter(10)
    return { messages: events.map(({ message }) => message), gaps, stateAfter: () => accepted }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync()
  }
}

/** In the Journal Export Format (systemd.io). */
function exportedEntries(boot: number): string {
  const startUs = boot === 0 ? 1_700_000_000_000_000 : 1_699_999_000_000_000
  return Array.from({ length: perBoot }, (_, at) => {
    const us = at < 100 ? at * 1_000_000 : 100_000_000 + at * 50
    const fields = ['PRIORITY=6', '_SYSTEMD_UNIT=app.service', '_TRANSPORT=stdout', `_BOOT_ID=${boots[boot] ?? ''}`]
    const times = [`__REALTIME_TIMESTAMP=${startUs + us}`, `__MONOTONIC_TIMESTAMP=${5_000_000 + us}`]
    return `${[...times, ...fields, `MESSAGE=${boot} ${at}`].join('\n')}\n\n`
  }).join('')
}
