import { execFileSync } from 'node:child_process'
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { afterEach, beforeEach, describe, expect, it } from 'vitest'

import { journalctlStarter } from '../../agent/logs/journal/journal-child.ts'
import { readJournalClock } from '../../agent/logs/journal/journal-clock.ts'
import { JournalFeed } from '../../agent/logs/journal/journal-feed.ts'
import { JournalSource } from '../../agent/logs/journal/journal-source.ts'
import type { JournalState } from '../../agent/logs/journal/journal-position.ts'
import { fakeCursor, noJournalBounds, thisBoot } from '../support/fake-journalctl.ts'
import { tempFolder, type TempFolder } from '../support/temp-folder.ts'
import { until, waitUntil } from '../support/wait-until.ts'

/** Prints an entry: `entry NUMBER MESSAGE`. */
const entryFunction = `entry() {
  printf '{"__CURSOR":"s=%032d;i=%x;b=${thisBoot};m=%x;t=%x;x=%x","__REALTIME_TIMESTAMP":"%d","__MONOTONIC_TIMESTAMP":"%d","_BOOT_ID":"${thisBoot}","_SYSTEMD_UNIT":"app.service","MESSAGE":"%s"}\\n' \\
    0 "$1" "$((5000000 + $1 * 1000))" "$((1700000000000000 + $1 * 1000))" "$1" "$((1700000000000000 + $1 * 1000))" "$((5000000 + $1 * 1000))" "$2"
}`

describe('a program that stands in for journalctl', () => {
  let folder: TempFolder
  let feed: JournalFeed
  const signal = new AbortController().signal

  beforeEach(async () => {
    folder = await tempFolder()
  })

  afterEach(async () => {
    await feed[Symbol.asyncDispose]()
    const survivors = execFileSync('sh', ['-c', `ps -eo args | grep -F '${folder.path}' | grep -v grep || true`])
    expect(survivors.toString()).toBe('')
    await folder[Symbol.asyncDispose]()
  })

  it('gets its arguments and nothing of the environment', async () => {
    await begin(`env >${at('environment')}; printf '%s\\n' "$@" >${at('arguments')}; entry 1 hello; exec sleep 60`)
    expect(await nextMessage()).toBe('hello')
    const names = (await readFile(at('environment'), 'utf8')).split('\n').map((line) => line.split('=')[0])
    expect(names.filter((name) => !['', 'PWD', 'OLDPWD', 'SHLVL', '_'].includes(name ?? '')).sort()).toEqual([
      'LANG',
      'PATH',
      'SYSTEMD_PAGER',
    ])
    expect((await readFile(at('arguments'), 'utf8')).trim().split('\n')).toEqual([
      '--output=json',
      '--all',
      '--no-pager',
      '--no-tail',
      '--output-fields=MESSAGE,PRIORITY,_SYSTEMD_UNIT,UNIT,_TRANSPORT,SYSLOG_IDENTIFIER,_PID',
      `--cursor=${fakeCursor(1)}`,
      '--follow',
      `--boot=${thisBoot}`,
    ])
  })

  it('is told apart from its own words: remarks are passed over, garbage is counted', async () => {
    await begin(
      `echo '-- No entries --'; echo garbage; head -c 5000000 /dev/zero | tr '\\0' x; echo; entry 1 'a "b' ; entry 2 end; exec sleep 60`,
    )
    await arrived()
    expect(feed.peek()).toEqual({ lostBytes: 7 })
    feed.shift()
    await arrived()
    expect(feed.peek()).toEqual({ lostBytes: 5_000_000 })
    feed.shift()
    await arrived()
    expect(feed.peek()).toHaveProperty('lostBytes') // its quotation mark is not escaped
    feed.shift()
    expect(await nextMessage()).toBe('end')
  })

  it('that trickles an entry byte by byte is waited for without end', async () => {
    await begin(
      `entry 1 slow >${at('line')}; head -c 20 ${at('line')}; sleep 0.3; tail -c +21 ${at('line')}; exec sleep 60`,
    )
    expect(await nextMessage()).toBe('slow')
  })

  it('that floods has to wait, and is in memory with a megabyte or two', async () => {
    await begin(
      `i=0; while [ $i -lt 40000 ]; do i=$((i+1)); entry $i ${'x'.repeat(100)}; done; touch ${at('done')}; exec sleep 60`,
    )
    await until(() => feed.wasHeldBack)
    await expect(readFile(at('done'))).rejects.toThrow('ENOENT')
    for (let number = 1; number <= 40_000; number += 1) {
      await arrived()
      const item = feed.peek()
      if (item === undefined || !('entry' in item) || item.entry.position.cursor !== fakeCursor(number)) {
        throw new Error(`entry ${number} is missing: ${JSON.stringify(item)}`)
      }
      feed.shift()
    }
  })

  it('that dies is told with its code and its last words, after all that it printed', async () => {
    await begin(`entry 1 last; echo 'Failed to open: Input/output error' >&2; exit 3`)
    expect(await nextMessage()).toBe('last')
    await until(() => feed.end !== undefined)
    expect(feed.end?.error).toMatchObject({
      message: 'journalctl ended with exit code 3: Failed to open: Input/output error',
      retryable: true,
    })
    await begin('kill -9 $$')
    await until(() => feed.end !== undefined)
    expect(feed.end?.error?.message).toBe('journalctl ended with SIGKILL')
    await begin('exit 0')
    await until(() => feed.end !== undefined)
    expect(feed.end?.error?.message).toBe('journalctl ended although it was to follow the journal')
  })

  it('whose last words are endless does not fill the memory', async () => {
    await begin(`head -c 1000000 /dev/zero | tr '\\0' y >&2; echo 'the last' >&2; exit 1`)
    await until(() => feed.end !== undefined)
    expect(feed.end?.error?.message.length).toBeLessThan(5_000)
    expect(feed.end?.error?.message).toContain('the last')
  })

  it('that may not read the journal names the group to add', async () => {
    await begin(`echo 'No journal files were opened due to insufficient permissions.' >&2; exit 1`)
    await until(() => feed.end !== undefined)
    expect(feed.end?.error).toMatchObject({
      retryable: false,
      hint: expect.stringContaining('SupplementaryGroups=systemd-journal') as unknown,
    })
  })

  it('that is not there, or not to be run, is told by that', async () => {
    feed = new JournalFeed(journalctlStarter(join(folder.path, 'nothing')))
    await feed.begin({ bootId: thisBoot, cursor: undefined, follow: true })
    await until(() => feed.end !== undefined)
    expect(feed.end?.error).toMatchObject({
      retryable: false,
      hint: expect.stringContaining('install systemd') as unknown,
    })
    await writeFile(at('plain'), 'no program')
    feed = new JournalFeed(journalctlStarter(at('plain')))
    await feed.begin({ bootId: thisBoot, cursor: undefined, follow: true })
    await until(() => feed.end !== undefined)
    expect(feed.end?.error?.message).toBe('journalctl cannot be started')
  })

  it('that does not heed SIGTERM is killed', async () => {
    await begin(`trap '' TERM; entry 1 here; while :; do sleep 0.05; done`)
    expect(await nextMessage()).toBe('here')
    await feed.stop()
  })

  it('that dies now and then loses nothing and repeats nothing, from boot to boot of the agent', async () => {
    // Shows at most 7 entries a run, from the cursor on.
    const script = `case "$*" in *--field=_BOOT_ID*) echo ${thisBoot}; exit 0;; esac
      from=1; for arg; do case "$arg" in --cursor=*) from=$((0x$(echo "$arg" | sed 's/.*;i=\\([0-9a-f]*\\);.*/\\1/')));; esac; done
      i=$from; while [ $i -lt $((from + 7)) ] && [ $i -le 20 ]; do entry $i "m$i"; i=$((i+1)); done
      [ $i -gt 20 ] && exec sleep 60; exit 1`
    const start = journalctlStarter(await program(script))
    feed = new JournalFeed(start)
    const clock = { ...readJournalClock(undefined), bootId: thisBoot }
    const got: string[] = []
    let state: JournalState | undefined
    for (let life = 0; life < 2; life += 1) {
      await using source: JournalSource = new JournalSource({
        sources: [{ kind: 'journal', unit: 'app.service' }],
        targetOf: () => ({ group: 'g', stream: 's' }),
        ownUnit: 'panorama-agent.service',
        state,
        clock,
        cloudNow: Date.now,
        onGap: (gap) => got.push(`gap ${JSON.stringify(gap)}`),
        start,
        bounds: noJournalBounds,
        random: () => 0,
      })
      const sink = {
        isFull: false,
        offer: ({
          message,
          origin,
          position,
        }: {
          message: string
          origin?: { accepted(at: number): void } | undefined
          position: number
        }) => {
          if (life === 0 && got.length === 10) return
          got.push(message)
          origin?.accepted(position)
        },
      }
      await waitUntil('the entries arrive', async () => {
        await source.read({ of: () => sink }, { signal, beat: () => undefined })
        return life === 0 ? got.length === 10 : got.length === 20
      })
      ;({ state } = source)
    }
    expect(got).toEqual(Array.from({ length: 20 }, (_, index) => `m${index + 1}`))
  })

  function at(name: string): string {
    return join(folder.path, name)
  }

  async function program(script: string): Promise<string> {
    await writeFile(at('journalctl'), `#!/bin/sh\n${entryFunction}\n${script}\n`)
    await chmod(at('journalctl'), 0o755)
    return at('journalctl')
  }

  async function begin(script: string): Promise<void> {
    feed = new JournalFeed(journalctlStarter(await program(script)))
    await feed.begin({ bootId: thisBoot, cursor: fakeCursor(1), follow: true })
  }

  async function arrived(): Promise<void> {
    if (feed.peek() === undefined) await until(() => feed.peek() !== undefined)
  }

  async function nextMessage(): Promise<string | undefined> {
    await arrived()
    const item = feed.peek()
    feed.shift()
    return item !== undefined && 'entry' in item ? item.entry.message : undefined
  }
})
