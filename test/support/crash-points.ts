import { randomInt } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

import { expect } from 'vitest'

import type { AgentProcess } from './agent-process.ts'
import type { Marks } from './configuration-marks.ts'
import { killAtCall } from './kill-at-call.ts'
import { whyNoStrace } from './strace.ts'
import { exitOf } from './wait-until.ts'

export interface CrashOptions {
  /** Begins what the agent is killed in; may reject when it is. */
  readonly begin: () => Promise<unknown>
  /** About as long as that takes. */
  readonly spanMs: number
  /** Calls that make a step of it durable or visible, and about how many of them it makes. */
  readonly callKinds: readonly { readonly calls: string; readonly count: number }[]
  /** Whether it is over, so that no more of these calls come; default: after twice the time. */
  readonly isOver?: () => boolean
  /** Default: a random one. */
  readonly place?: CrashPlace | undefined
}

export interface CrashPlace {
  readonly isAtCall: boolean
  /** Of the kinds of calls. */
  readonly kind: number
  /** How far into it: from 0 to 1. */
  readonly share: number
}

const afterOverMs = 300
const pollMs = 20
const noStrace = await whyNoStrace()
if (noStrace !== undefined) console.log(`killed at random moments only, because strace does not work here: ${noStrace}`)

/** Kills an agent with SIGKILL, at a moment or at one of its system calls; answers where that was. */
export async function crash(agent: AgentProcess, options: CrashOptions): Promise<string> {
  const { place = { isAtCall: randomInt(2) === 0, kind: randomInt(options.callKinds.length), share: Math.random() } } =
    options
  return place.isAtCall && noStrace === undefined
    ? await crashAtCall(agent, options, place)
    : await crashAtMoment(agent, options, place)
}

/** Random ones, as many, that are spread evenly: so that a few of them fall into all that it does. Half are at calls of each kind in turn. */
export function spreadPlaces(points: number, kinds: number): readonly CrashPlace[] {
  return Array.from({ length: points }, (_, point) => {
    const isAtCall = point % 2 === 1
    const nth = Math.floor(point / 2)
    const others = Math.ceil((points - (isAtCall ? 1 : 0)) / 2)
    return { isAtCall, kind: nth % kinds, share: (nth + Math.random()) / others }
  })
}

async function crashAtMoment(
  agent: AgentProcess,
  { begin, spanMs }: CrashOptions,
  { share }: CrashPlace,
): Promise<string> {
  const ended = exitOf(agent, 60_000)
  const afterMs = Math.floor(spanMs * share)
  const begun = begin().catch(() => undefined)
  await delay(afterMs)
  agent.kill('SIGKILL')
  await Promise.all([ended, begun])
  return `${afterMs} ms after it began`
}

async function crashAtCall(
  agent: AgentProcess,
  { begin, spanMs, callKinds, isOver }: CrashOptions,
  { kind, share }: CrashPlace,
): Promise<string> {
  const ended = exitOf(agent, 60_000)
  const { calls, count } = callKinds[kind] ?? { calls: 'fsync', count: 1 }
  const nth = 1 + Math.floor(share * count)
  await killAtCall(agent.pid, calls, nth)
  await begin().catch(() => undefined)
  const isKilled = await Promise.race([ended.then(() => true), over(2 * spanMs, isOver)])
  if (!isKilled) agent.kill('SIGKILL') // it made fewer of these calls
  await ended
  return `at number ${nth} of ${calls}${isKilled ? '' : ', of which there are fewer'}`
}

async function over(withinMs: number, isOver: () => boolean = () => false): Promise<false> {
  for (let passedMs = 0; passedMs < withinMs && !isOver(); passedMs += pollMs) await delay(pollMs)
  await delay(isOver() ? afterOverMs : 0)
  return false
}

/** A change that sets everything or nothing, for the nth point; every other one needs another session. */
export function changeAt(point: number, marks: Marks): { readonly patch: object; readonly next: Marks } {
  const isOfSession = point % 4 < 2
  const next = {
    flushSeconds: (marks.flushSeconds % 50) + 1,
    refreshSeconds: marks.refreshSeconds + 1,
    name: isOfSession ? JSON.stringify(`name-${point}`) : marks.name,
  }
  const patch = {
    logs: { flushSeconds: next.flushSeconds },
    cameras: { refreshSeconds: next.refreshSeconds },
    ...(isOfSession ? { device: { name: `name-${point}` } } : {}),
  }
  return { patch, next }
}

/** The states of the versions that a job brought, as the disk has them. */
export async function versionStates(stateFolder: string, jobId: string): Promise<readonly string[]> {
  const folder = join(stateFolder, 'config')
  const names = (await readdir(folder).catch(() => [])).filter((name) => /^\d+\.json$/.test(name))
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')))
  const versions = texts.map((text) => JSON.parse(text) as { job: { jobId: string }; state: string }) // the agent's own
  return versions.filter(({ job }) => job.jobId === jobId).map(({ state }) => state)
}

/** What is beside the versions and the copy of the base file. */
export async function strayFiles(stateFolder: string): Promise<readonly string[]> {
  const names = await readdir(join(stateFolder, 'config'))
  return names.filter((name) => !/^(\d+|base)\.json$/.test(name))
}

/** How often each kind of thing was seen. */
export class Tally {
  readonly #counts = new Map<string, number>()

  count(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1)
  }

  /** Kills that all fall into one phase prove little. */
  expectKinds(atLeast: number): void {
    expect(this.#counts.size).toBeGreaterThanOrEqual(atLeast)
  }

  toString(): string {
    return JSON.stringify(Object.fromEntries(this.#counts))
  }
}
