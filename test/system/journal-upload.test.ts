import { afterEach, beforeEach, describe, expect, it } from 'vitest'

import { Appliance, isWell } from './support/appliance.ts'
import { pollUntil } from './support/poll-until.ts'

const logs = { flushSeconds: 1, sources: [{ kind: 'journal' }, { kind: 'journal', unit: 'counter.service' }] }
const mayRead = { journal: '[Service]\nSupplementaryGroups=systemd-journal\n' }

const instant: unknown = expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/)

describe('the journal on its way from an appliance to CloudWatch', () => {
  let appliance: Appliance

  beforeEach(async () => {
    appliance = await Appliance.working({ config: () => ({ logs }), dropIns: mayRead })
  })

  afterEach(async () => {
    await appliance[Symbol.asyncDispose]()
  })

  it('arrives in the stream of all, that of a unit, and that of the agent, each line once', async () => {
    await appliance.container.run('logger', '--tag', 'dock', 'the door is open')
    await arrives('syslog', (line) => /^dock\[\d+\]: the door is open$/.test(line))
    await say('one')
    await arrives('counter', (line) => line === 'one')
    expect(appliance.messages('syslog').join('\n')).not.toMatch(/: one$/m)

    await appliance.unit.restart()
    await appliance.until(isWell)
    await say('two')
    await arrives('counter', (line) => line === 'two')
    await arrives('occ_log', isReady, 2)
    // A line of this start that came by the ring would come by the journal too, until the two know of each other.
    await appliance.container.run('logger', '--tag', 'dock', 'the last')
    await arrives('syslog', (line) => line.endsWith(': the last'))
    const own = (await appliance.unit.journal()).split('\n').filter((line) => /\[\d+\]: \S+Z (INFO|WARN) /.test(line))
    await appliance.container.run('systemctl', 'stop', 'panorama-agent')
    expect(own.length).toBeGreaterThan(4)
    for (const line of own) {
      const text = line.replace(/^.*?\[\d+\]: /, '')
      expect(
        appliance.messages('occ_log').filter((message) => message === text),
        text,
      ).toHaveLength(1)
    }
    expect(appliance.messages('counter').filter((line) => ['one', 'two'].includes(line))).toEqual(['one', 'two'])
    expect(gapsIn('counter')).toEqual([])
  })

  it('that was vacuumed while the agent was stopped is one record in the stream that misses it', async () => {
    await say('sent')
    await arrives('counter', (line) => line === 'sent')
    await appliance.container.run('systemctl', 'stop', 'panorama-agent')
    await say('lost')
    await new Promise((resolve) => setTimeout(resolve, 1_500)) // older than a second, so that vacuum takes it
    await appliance.container.run('journalctl', '--quiet', '--rotate')
    await appliance.container.run('journalctl', '--quiet', '--vacuum-time=1s')
    await appliance.container.run('systemctl', 'start', 'panorama-agent')
    await say('kept')
    await arrives('counter', (line) => line === 'kept')
    await pollUntil('the gap arrived', () => gapsIn('counter').length > 0)
    // the record is in the cloud before the agent has the answer that says so
    await appliance.until((status) => isWell(status) && status.logs.gapsPending === 0)
    expect(gapsIn('counter')).toMatchObject([{ reason: 'vacuumed', source: 'the journal', from: instant, to: instant }])
    expect(appliance.messages('counter')).not.toContain('lost')
  })

  /** By a unit of its own each time. */
  async function say(text: string): Promise<void> {
    await appliance.container.run('systemd-run', '--quiet', '--wait', '--collect', '--unit=counter', 'echo', text)
  }

  async function arrives(stream: string, isIt: (line: string) => boolean, count = 1): Promise<void> {
    await pollUntil(`${stream} got ${String(isIt)}`, () => appliance.messages(stream).filter(isIt).length >= count)
  }

  function gapsIn(stream: string): readonly unknown[] {
    const records = appliance.messages(stream).filter((line) => line.startsWith('{"panoramaAgent":"gap"'))
    return records.map((text): unknown => JSON.parse(text))
  }
})

it('tells by status which drop-in is missing while the agent may not read the journal, and sends all else', async () => {
  await using appliance = await Appliance.make({ config: () => ({ logs }) })
  await appliance.container.boot()
  await appliance.until(({ logs: { state } }) => state === 'failing')
  const { stdout } = await appliance.container.attempt('panorama-agent', 'status')
  expect(stdout).toContain('SupplementaryGroups=systemd-journal')
  await pollUntil('its own log arrives', () => appliance.messages('occ_log').some(isReady))
})

function isReady(line: string): boolean {
  return line.includes(' agent is ready ')
}
