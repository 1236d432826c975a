import { AgentError } from '../lib/errors.ts'

/** How a check came out. `skip`: it could not be looked at, or another one has to pass first. */
export type Level = 'pass' | 'warn' | 'fail' | 'skip'

/** What a check found, in one sentence. Holds no secret. */
export interface Outcome {
  readonly level: Level
  readonly text: string
  /** What to do about it, as an imperative sentence. */
  readonly hint?: string
  /** Which of the things that the check looks at: a camera, an artifact. */
  readonly about?: string
}

export interface Check {
  /** Stable, for machines: `tls.mqtt`. */
  readonly id: string
  /** For people. */
  readonly name: string
  /** It has failed when it does not end within. */
  readonly withinMs: number
  /** Checks, earlier in the list, without which this one would only fail for the same reason: it is skipped then. */
  readonly needs?: readonly string[]
  /** Checks, earlier in the list, that have to end first, however they end. */
  readonly after?: readonly string[]
  /**
   * Changes nothing, but for what the README says. What it throws is a failure, with its hint. It may be left behind when its
   * signal aborts, so it has to let go of what it holds then.
   */
  readonly run: (signal: AbortSignal) => Promise<readonly Outcome[]>
}

/** One line of the report. */
export interface Finding {
  /** That of the check, with what it is about: `permission.secret.dock-3`. */
  readonly id: string
  readonly level: Level
  readonly name: string
  readonly text: string
  readonly hint?: string
}

/** What `panorama-agent doctor --json` prints. Fields are only ever added; `version` changes when one must go. */
export interface DoctorReport {
  readonly version: 1
  /** By the system clock, right or wrong: ISO 8601. */
  readonly at: string
  readonly agent: string
  /** The user that it ran as: what that one may not read is not looked at. */
  readonly user: string
  readonly counts: Readonly<Record<Level, number>>
  readonly findings: readonly Finding[]
}

/** Something cannot be looked at by whoever runs this. Thrown by a check, it is no failure: the check is skipped. */
export class UnseenError extends AgentError {
  override readonly name = 'UnseenError'

  constructor(what: string) {
    super(`${what} cannot be looked at as this user`, { hint: "run this as root or as the agent's user" })
  }
}

export function pass(text: string): Outcome {
  return { level: 'pass', text }
}

export function warn(text: string, hint?: string): Outcome {
  return { level: 'warn', text, ...(hint === undefined ? {} : { hint }) }
}

export function fail(text: string, hint?: string): Outcome {
  return { level: 'fail', text, ...(hint === undefined ? {} : { hint }) }
}

export function skip(text: string, hint?: string): Outcome {
  return { level: 'skip', text, ...(hint === undefined ? {} : { hint }) }
}
