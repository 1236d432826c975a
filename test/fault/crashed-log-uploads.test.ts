import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

import { afterAll, expect, it } from 'vitest'

import { putLogEventsLimits } from '../../agent/logs/delivery/log-batch.ts'
import { createAgentSite, type AgentSite, type AgentSiteOptions } from '../support/agent-site.ts'
import { openBreakableLink, type BreakableLink } from '../support/breakable-link.ts'
import { exitOf, waitUntil } from '../support/wait-until.ts'

const points = Number(process.env['PANORAMA_TEST_LOG_CRASHES'] ?? '30')
const pointsPerSite = 10
const eventsPerSecond = 20_000
const linesPerFile = 30_000
/** More than an outage of the test lets pile up: rotation takes nothing away unsent. */
const rotatedFiles = 60
const runForMs = { min: 700, max: 2_500 }
const withoutProgressMs = 60_000

const totals = { crashes: 0, cuts: 0, throttled: 0, events: 0, again: 0, mostAgain: 0 }
const sites = Math.ceil(points / pointsPerSite)

it.each(Array.from({ length: sites }, (_, index) => index))(
  'sends every line, in order, and less than a batch again for each crash, wherever it is killed (%i)',
  async (nth) => {
    await using flooded = await openFloodedSite()
    const { site } = flooded
    const arrived = new Arrivals()
    using _ = site.cloud.logs.listen(({ stream, events }) => {
      if (stream === 'flood') arrived.add(events.map(({ message }) => message))
    })
    const path = join(site.appliance.logsFolder, 'flood.log')
    await makeKnown(site, { path, isKnown: () => arrived.distinct === 1 })
    await using flood = startFlood(path)
    for (let point = nth * pointsPerSite; point < Math.min(points, (nth + 1) * pointsPerSite); point += 1) {
      const cuts = await runAndKill(flooded)
      const again = arrived.takeAgain()
      totals.mostAgain = Math.max(totals.mostAgain, again)
      expect(again, `point ${point}: ${cuts} cuts, sent again`).toBeLessThan((cuts + 1) * putLogEventsLimits.maxEvents)
    }
    const written = await flood.end()
    await using agent = site.start()
    for (let before = -1; arrived.distinct < written && before !== arrived.distinct;) {
      before = arrived.distinct
      await waitUntil('more arrived', () => arrived.distinct > before, withoutProgressMs).catch(() => undefined)
    }
    await agent.until(({ logs }) => logs.pendingBytes < 1_000_000)
    totals.again += arrived.takeAgain()
    totals.events += written
    expect(arrived.gaps(written), 'lines that never arrived').toEqual([])
    expect(arrived.outOfOrder, 'lines that arrived for the first time behind a later one').toEqual([])
    expect((await agent.status()).logs.lostBytes).toBe(0)
  },
  600_000,
)

afterAll(() => {
  console.info(`log uploads, killed at ${points} points: ${JSON.stringify(totals)}`)
  expect(totals.cuts + totals.throttled, 'the network was broken, too').toBeGreaterThan(0)
})

/** What arrived of the numbered lines, in the order of arrival. */
class Arrivals {
  readonly outOfOrder: number[] = []
  #seen: Uint8Array<ArrayBuffer> = new Uint8Array(1_000_000)
  #last = -1
  #again = 0
  #distinct = 0

  get distinct(): number {
    return this.#distinct
  }

  add(messages: readonly string[]): void {
    for (const message of messages) {
      const number = Number(/ line (\d+) /.exec(message)?.[1] ?? Number.NaN)
      if (Number.isNaN(number)) throw new Error(`an event that is no line: ${message.slice(0, 200)}`)
      while (number >= this.#seen.length) this.#seen = doubled(this.#seen)
      if (this.#seen[number] === 1) {
        this.#again += 1
        continue
      }
      this.#seen[number] = 1
      this.#distinct += 1
      if (number < this.#last) this.outOfOrder.push(number)
      this.#last = Math.max(this.#last, number)
    }
  }

  /** How many came again since this was asked last. */
  takeAgain(): number {
    const again = this.#again
    this.#again = 0
    return again
  }

  gaps(upTo: number): readonly number[] {
    return Array.from({ length: upTo }, (_, number) => number).filter((number) => this.#seen[number] !== 1)
  }
}

interface FloodedSite extends AsyncDisposable {
  readonly site: AgentSite
  readonly link: BreakableLink
}

/** A site whose uploads of logs go through a link that breaks. */
async function openFloodedSite(): Promise<FloodedSite> {
  await using resources = new AsyncDisposableStack()
  const config: AgentSiteOptions['config'] = ({ folder }) => ({
    artifacts: [],
    cameras: {},
    logs: { flushSeconds: 1, sources: [{ kind: 'file', path: join(folder, 'logs', 'flood.log') }] },
  })
  const site = resources.use(await createAgentSite({ config }))
  const logs = new URL(site.cloud.endpoints.logs)
  const link = resources.use(await openBreakableLink(Number(logs.port)))
  logs.port = String(link.port)
  const endpoints = { ...site.cloud.endpoints, logs: logs.href }
  await writeFile(site.appliance.configFile, JSON.stringify({ ...site.appliance.config, endpoints }))
  const owned = resources.move()
  return { site, link, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

/**
 * Has the agent send a first line. What was rotated before an agent saw its file for the first time is no source of it,
 * and a busy machine may take longer over a start than the flood takes to its first rotation.
 */
async function makeKnown(
  site: AgentSite,
  { path, isKnown }: { readonly path: string; readonly isKnown: () => boolean },
): Promise<void> {
  await writeFile(path, 'the first line 0 \n')
  const agent = site.start()
  await waitUntil('the first line arrived', isKnown)
  agent.kill('SIGKILL')
  await exitOf(agent)
}

/** Runs the agent for a while, perhaps with a broken network, and kills it; answers how often the network was cut. */
async function runAndKill({ site, link }: FloodedSite): Promise<number> {
  const agent = site.start()
  await agent.until(() => true)
  const forMs = randomInt(runForMs.min, runForMs.max)
  const weather = randomInt(3)
  await delay(forMs / 3)
  if (weather === 1) link.cut()
  if (weather === 2) link.throttle(randomInt(200_000, 2_000_000))
  await delay(forMs / 3)
  if (randomInt(2) === 0) link.mend()
  await delay(forMs / 3)
  agent.kill('SIGKILL')
  await exitOf(agent)
  link.mend()
  totals.crashes += 1
  totals.cuts += weather === 1 ? 1 : 0
  totals.throttled += weather === 2 ? 1 : 0
  return weather === 1 ? 1 : 0
}

interface Flood extends AsyncDisposable {
  /** Stops writing; answers how many lines it wrote. */
  readonly end: () => Promise<number>
}

function startFlood(path: string): Flood {
  const script = join(import.meta.dirname, '..', 'support', 'log-flood.ts')
  const args = [path, eventsPerSecond, linesPerFile, rotatedFiles].map(String)
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  const closed = once(child, 'close')
  return {
    end: async () => {
      child.kill('SIGTERM')
      await closed
      return Number(output)
    },
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await closed
    },
  }
}

function doubled(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(bytes.length * 2)
  larger.set(bytes)
  return larger
}
