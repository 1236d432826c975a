import { durationText } from '../lib/quantity-text.ts'
import { visibleText } from '../lib/terminal-text.ts'
import type { PartStatus, StatusDocument } from './status-document.ts'

/** One part of the agent, for people: all texts are as a terminal can be given them. */
export interface StatusRow {
  readonly title: string
  /** Empty for what has none. */
  readonly state: string
  readonly text: string
  readonly isWell: boolean
  /** What is wrong, and what to do about it. */
  readonly details: readonly StatusDetail[]
}

export interface StatusDetail {
  readonly label: 'error' | 'hint'
  readonly text: string
}

/** States of a part that has no fault. */
const goodStates = new Set(['', 'ok', 'running', 'known', 'accepted', 'connected'])
/** A group with more parts that are well is summed up. */
const maxListed = 8

export function row(title: string, state: string, text: string): StatusRow {
  return {
    title: visibleText(title),
    state: visibleText(state),
    text: visibleText(text),
    isWell: goodStates.has(state),
    details: [],
  }
}

/** A row with what is wrong. */
export function withDetails(shown: StatusRow, details: readonly StatusDetail[]): StatusRow {
  return { ...shown, details: details.map((each) => ({ ...each, text: visibleText(each.text) })) }
}

/** The row of a part; while it is not well, with its error, the hint, and when it tries again. */
export class PartRows {
  readonly #nowMs: number

  /** `now` is the instant of the document, so that shown ages do not depend on the clock of who looks. */
  constructor(now: string) {
    this.#nowMs = Date.parse(now)
  }

  part(title: string, status: PartStatus, text: string): StatusRow {
    const { state, since, lastError, nextAttemptAt } = status
    if (goodStates.has(state)) return row(title, state, text)
    const notes = [
      text,
      ...(since === undefined ? [] : [`for ${this.age(since)}`]),
      ...(nextAttemptAt === undefined ? [] : [`next attempt in ${this.until(nextAttemptAt)}`]),
    ]
    return withDetails(row(title, state, notes.filter((note) => note !== '').join(', ')), this.#errorDetails(lastError))
  }

  /** How long ago an instant was, such as `3 min`. */
  age(instant: string): string {
    return durationText((this.#nowMs - Date.parse(instant)) / 1_000)
  }

  /** How long it is until an instant. */
  until(instant: string): string {
    return durationText((Date.parse(instant) - this.#nowMs) / 1_000)
  }

  isPast(instant: string): boolean {
    return Date.parse(instant) <= this.#nowMs
  }

  #errorDetails(error: PartStatus['lastError']): readonly StatusDetail[] {
    if (error === undefined) return []
    const at = error.at === undefined ? '' : ` (${this.age(error.at)} ago)`
    return [
      { label: 'error', text: `${error.message}${at}` },
      ...(error.hint === undefined ? [] : [{ label: 'hint' as const, text: error.hint }]),
    ]
  }
}

/** What runs, and for how long. */
export function agentRow({ version, pid, startedAt }: StatusDocument['agent'], rows: PartRows): StatusRow {
  return row('agent', 'running', `version ${version}, pid ${pid}, for ${rows.age(startedAt)}`)
}

/** A row for each worker that is stuck. */
export function overdueRows(names: readonly string[]): readonly StatusRow[] {
  return names.map((name) => row(name, 'OVERDUE', 'it neither ended nor progressed by its own deadline'))
}

/** All rows of a few parts; of many only those that are not well, and how many others there are. */
export function summedUp(rows: readonly StatusRow[], title: string): readonly StatusRow[] {
  const well = rows.filter(({ isWell }) => isWell)
  if (well.length <= maxListed) return rows
  const all = well.length === rows.length ? `all ${rows.length} are well` : `${well.length} of ${rows.length} are well`
  return [...rows.filter(({ isWell }) => !isWell), row(title, 'ok', all)]
}
