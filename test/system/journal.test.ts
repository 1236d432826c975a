import { chmod, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'

import { journalctlStarter } from '../../agent/logs/journal/journal-child.ts'
import { readJournalClock } from '../../agent/logs/journal/journal-clock.ts'
import type { JournalState } from '../../agent/logs/journal/journal-position.ts'
import type { JournalSourceConfig } from '../../agent/logs/journal/journal-routes.ts'
import { JournalSource } from '../../agent/logs/journal/journal-source.ts'
import type { EventSinks, GapRecord } from '../../agent/logs/log-source.ts'
import type { SourceEvent } from '../../agent/logs/events/source-event.ts'
import { noJournalBounds } from '../support/fake-journalctl.ts'
import { Container } from './support/container.ts'
import { ownedPrefix } from './support/leftovers.ts'
import { pollUntil } from './support/poll-until.ts'
import { copyTree, removeTree } from './support/root-file-system.ts'

/** The source as it is, with the journald and the journalctl of the image: as the agent's user, with the unit's view of /proc. */
describe('the journal of an appliance', () => {
  const owned = new AsyncDisposableStack()
  let folder: string
  let container: Container
  let reader: JournalReader

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), `${ownedPrefix}${process.pid}-`))
    owned.defer(() => removeTree(folder))
    const root = join(folder, 'root')
    await copyTree(inject('image'), root)
    container = owned.use(await Container.make({ root, name: basename(folder) }))
    await container.boot()
  })

  beforeEach(async () => {
    reader = new JournalReader({ container, folder, groups: 'systemd-journal' })
    await reader.open(undefined)
  })

  afterEach(async () => {
    await reader.close()
  })

  afterAll(async () => {
    await owned.disposeAsync()
  })

  it('is read from the first entry of this boot on, and followed', async () => {
    await container.run('logger', '--tag', 'dock', 'before anybody reads')
    await reader.open(undefined)
    await reader.until(() => reader.messages('syslog').some((text) => text.endsWith('before anybody reads')))
    const { stdout } = await container.run('journalctl', '--boot', '--output=cat')
    const [first = ''] = stdout.split('\n')
    expect(reader.messages('syslog')[0]?.endsWith(first), first).toBe(true)
    await container.run('logger', '--tag', 'dock', 'the door is open')
    await reader.until(() => reader.messages('syslog').some((text) => /^dock\[\d+\]: the door is open$/.test(text)))
    expect(reader.gaps).toEqual([])
    expect(reader.source.failures()).toEqual([])
    expect(reader.source.isHealthy).toBe(true)
  })

  it('tells units apart, with what systemd says about them, levels, times, bytes and many lines in a microsecond', async () => {
    await reader.open(undefined, [{ kind: 'journal', unit: 'burst.service' }])
    const script = String.raw`printf 'caf\303\251 \001\377\n<3>bad\n'; seq 1000`
    await container.run('systemd-run', '--quiet', '--wait', '--unit=burst', 'sh', '-c', script)
    // What a unit prints and what systemd says of it come to journald by different ways, in any order.
    for (const last of ['1000', 'burst.service: Deactivated successfully.'])
      await reader.until(() => reader.messages('burst').includes(last))
    const events = reader.events('burst')
    const own = events.map(({ message }) => message).filter((text) => !text.includes('burst.service'))
    expect(own).toEqual([
      'caf\u00e9 \u2401\ufffd',
      'bad',
      ...Array.from({ length: 1000 }, (_, index) => String(index + 1)),
    ])
    expect(events.find(({ message }) => message === 'bad')?.level).toBe('error')
    expect(events.some(({ message }) => message.startsWith('Started burst.service'))).toBe(true)
    for (const { atMs, statedMs } of events) {
      expect(statedMs).toBeUndefined()
      expect(Math.abs(atMs - performance.now())).toBeLessThan(60_000)
    }
  })

  it('is followed through rotation and vacuum, from a place that is there no longer as well, with one record of what is missing', async () => {
    await reader.open(undefined, [{ kind: 'journal', unit: 'counter.service' }])
    await say('first')
    await reader.until(() => reader.messages('counter').includes('first'))
    await container.run('journalctl', '--quiet', '--rotate')
    await container.run('journalctl', '--quiet', '--vacuum-time=1s')
    await say('followed')
    await reader.until(() => reader.messages('counter').includes('followed'))
    expect(reader.gaps).toEqual([])
    const { state } = reader.source
    await reader.close()
    await say('lost')
    await new Promise((resolve) => setTimeout(resolve, 1_500)) // older than a second, so that vacuum takes it
    await container.run('journalctl', '--quiet', '--rotate')
    await container.run('journalctl', '--quiet', '--vacuum-time=1s')
    await say('kept')
    await reader.open(state, [{ kind: 'journal', unit: 'counter.service' }])
    await reader.until(() => reader.messages('counter').includes('kept'))
    expect(reader.messages('counter')).not.toContain('lost')
    expect(reader.gaps).toMatchObject([{ target: { stream: 'counter' }, reason: 'vacuumed' }])
    const [{ firstMs = 0, lastMs = 0 } = {}] = reader.gaps
    expect(firstMs).toBeLessThan(lastMs)
    expect(Math.abs(lastMs - Date.now())).toBeLessThan(60_000)
  })

  it('is read on over a reboot, nothing left out and nothing twice', async () => {
    const sources: readonly JournalSourceConfig[] = [{ kind: 'journal', unit: 'counter.service' }]
    await reader.open(undefined, sources)
    await say('before')
    await reader.until(() => reader.messages('counter').includes('before'))
    const { state } = reader.source
    await reader.close()
    await say('meanwhile')
    await container.reboot()
    await say('after')
    await reader.open(state, sources)
    await reader.until(() => reader.messages('counter').includes('after'))
    const said = reader.messages('counter').filter((text) => ['before', 'meanwhile', 'after'].includes(text))
    expect(said).toEqual(['meanwhile', 'after'])
    expect(reader.events('counter').find(({ message }) => message === 'meanwhile')?.statedMs).toBeGreaterThan(0)
    expect(reader.gaps).toEqual([])
  })

  it('that the agent may not read is a failure that names the group', async () => {
    await reader.close()
    await using outsider = new JournalReader({ container, folder, groups: 'panorama-agent' })
    await outsider.open(undefined)
    await outsider.until(() => outsider.source.failures().length > 0)
    expect(outsider.source.failures()).toMatchObject([
      {
        what: 'the journal',
        error: { hint: expect.stringContaining('SupplementaryGroups=systemd-journal') as unknown },
      },
    ])
    expect(outsider.source.isHealthy).toBe(false)
  })

  /** By a unit of its own each time. */
  async function say(text: string): Promise<void> {
    await container.run('systemd-run', '--quiet', '--wait', '--collect', '--unit=counter', 'echo', text)
  }
})

interface ReaderOptions {
  readonly container: Container
  /** For its program. */
  readonly folder: string
  readonly groups: string
}

/** A journal source whose journalctl is that of a container; everything that it offers is accepted at once. */
class JournalReader implements AsyncDisposable {
  readonly gaps: GapRecord[] = []
  readonly #options: ReaderOptions
  readonly #events = new Map<string, SourceEvent[]>()
  #source: JournalSource | undefined

  constructor(options: ReaderOptions) {
    this.#options = options
  }

  get source(): JournalSource {
    if (this.#source === undefined) throw new Error('the reader is not open')
    return this.#source
  }

  events(stream: string): readonly SourceEvent[] {
    return this.#events.get(stream) ?? []
  }

  messages(stream: string): readonly string[] {
    return this.events(stream).map(({ message }) => message)
  }

  /** Begins anew, at `state`. */
  async open(
    state: JournalState | undefined,
    sources: readonly JournalSourceConfig[] = [{ kind: 'journal' }],
  ): Promise<void> {
    await this.close()
    this.#events.clear()
    this.gaps.length = 0
    const { container } = this.#options
    const bootId = await readFile(container.path('/proc/sys/kernel/random/boot_id'), 'utf8').catch(
      async () => (await container.run('cat', '/proc/sys/kernel/random/boot_id')).stdout,
    )
    this.#source = new JournalSource({
      sources,
      targetOf: ({ group = 'device', stream }, { unit = '' }) => ({ group, stream: stream.replaceAll('{unit}', unit) }),
      ownUnit: 'panorama-agent.service',
      state,
      clock: readJournalClock(bootId),
      cloudNow: Date.now,
      onGap: (gap) => this.gaps.push(gap),
      start: journalctlStarter(await this.#program()),
      bounds: noJournalBounds,
    })
  }

  async until(isReached: () => boolean): Promise<void> {
    const sinks: EventSinks = {
      of: ({ stream }) => ({
        isFull: false,
        offer: (event) => {
          this.#store(stream, event)
        },
      }),
    }
    const signal = AbortSignal.timeout(60_000)
    await pollUntil(isReached.toString(), async () => {
      await this.source.read(sinks, { signal, beat: () => undefined })
      return isReached()
    })
  }

  async close(): Promise<void> {
    await this.#source?.[Symbol.asyncDispose]()
    this.#source = undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #store(stream: string, event: SourceEvent): void {
    const events = this.#events.get(stream) ?? []
    this.#events.set(stream, events)
    events.push(event)
    event.origin?.accepted(event.position)
  }

  /** Enters the container and becomes the agent's user, with nothing in /proc but processes. */
  async #program(): Promise<string> {
    const { container, folder, groups } = this.#options
    const file = join(folder, `journalctl-${groups}`)
    const become = `exec setpriv --reuid=panorama-agent --regid=${groups} --clear-groups --pdeathsig=TERM journalctl "$@"`
    const inside = `mount -t proc -o subset=pid proc /proc && ${become}`
    const enter = `nsenter -t ${container.leader} -m -p -n -u -i -C -- /usr/bin/env --chdir=/ unshare --mount`
    await writeFile(file, `#!/bin/sh\nexec ${enter} sh -c '${inside}' sh "$@"\n`)
    await chmod(file, 0o755)
    return file
  }
}
