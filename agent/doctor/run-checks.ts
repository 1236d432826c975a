import { linkedAbort, withDeadline } from '../lib/abort.ts'
import { AgentError, DeadlineError, reportError } from '../lib/errors.ts'
import { printableText } from './printable-text.ts'
import { fail, skip, UnseenError, type Check, type Finding, type Outcome } from './doctor-check.ts'

export interface RunOptions {
  readonly signal: AbortSignal
  /** For all of them together. */
  readonly withinMs: number
  /** Called as each check ends. */
  readonly onEnded?: (check: Check) => void
}

/**
 * Runs every check, side by side where none waits for another. Answers the findings in the order of the checks, and always
 * within the bound; rejects with the signal's reason alone.
 */
export async function runChecks(checks: readonly Check[], options: RunOptions): Promise<readonly Finding[]> {
  const { signal, withinMs, onEnded } = options
  using end = linkedAbort(signal)
  const timer = setTimeout(() => {
    end.controller.abort(new DeadlineError('the doctor', withinMs))
  }, withinMs)
  const ended = new Map<string, Promise<Ended>>()
  try {
    for (const check of checks) {
      const run = runAfterOthers(check, ended, end.controller.signal)
      ended.set(check.id, run)
      if (onEnded !== undefined) void run.then(() => { onEnded(check) }) // prettier-ignore
    }
    const all = await Promise.all(ended.values())
    signal.throwIfAborted()
    return all.flatMap(({ findings }) => findings)
  } finally {
    clearTimeout(timer)
  }
}

interface Ended {
  readonly check: Check
  readonly findings: readonly Finding[]
}

async function runAfterOthers(
  check: Check,
  ended: ReadonlyMap<string, Promise<Ended>>,
  signal: AbortSignal,
): Promise<Ended> {
  const waitFor = (ids: readonly string[] = []): Promise<readonly Ended[]> =>
    Promise.all(ids.map((id) => ended.get(id) ?? notThere(check, id)))
  const [needed] = await Promise.all([waitFor(check.needs), waitFor(check.after)])
  const missing = needed.find(({ findings }) => findings.some(({ level }) => level === 'fail') || areSkipped(findings))
  const outcomes = missing === undefined ? await outcomesOf(check, signal) : [notLookedAt(missing)]
  return { check, findings: outcomes.map((outcome) => findingOf(check, outcome)) }
}

function areSkipped(findings: readonly Finding[]): boolean {
  return findings.length > 0 && findings.every(({ level }) => level === 'skip')
}

function notLookedAt({ check, findings }: Ended): Outcome {
  const why = areSkipped(findings) ? 'was not looked at' : 'failed'
  return skip(`not looked at, because "${check.name}" ${why}`)
}

async function outcomesOf(check: Check, signal: AbortSignal): Promise<readonly Outcome[]> {
  const deadline = { signal, withinMs: check.withinMs, what: 'this' }
  try {
    return await withDeadline(deadline, async (inner) => await check.run(inner))
  } catch (error) {
    const { message, hint } = reportError(error)
    return [error instanceof UnseenError ? skip(message, hint) : fail(message, hint)]
  }
}

/** The last place where anything could show what it should not. */
function findingOf({ id, name }: Check, { level, text, hint, about }: Outcome): Finding {
  return {
    id: about === undefined ? id : `${id}.${about}`,
    level,
    name: printableText(about === undefined ? name : `${name} ${about}`, 80),
    text: printableText(text),
    ...(hint === undefined ? {} : { hint: printableText(hint) }),
  }
}

function notThere({ id }: Check, other: string): never {
  throw new AgentError(`the check ${id} waits for ${other}, which does not come before it`)
}
