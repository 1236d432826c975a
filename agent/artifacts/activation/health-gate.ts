import { stat } from 'node:fs/promises'

import type { ArtifactConfig } from '../../config/config-schema.ts'
import { withDeadline } from '../../lib/abort.ts'
import { AgentError, DeadlineError, errorCode } from '../../lib/errors.ts'
import { sleep } from '../../lib/sleep.ts'
import type { Verdict } from './activation-state.ts'
import type { HookRunner } from './hook-runner.ts'

export type Health = NonNullable<ArtifactConfig['health']>

export interface HealthQuestion {
  readonly health: Health
  /** How the file looked before the switch. */
  readonly seen: string | undefined
  readonly runHook: HookRunner
  readonly signal: AbortSignal
  /** Called again and again while the answer is waited for. */
  readonly beat: () => void
}

const beatEveryMs = 30_000
const lookEveryMs = 500
const askAgainMs = 2_000
const notThere = 'it is not there'

/**
 * Asks whether the current release is healthy: a hook, which is run once, or a file that the application touches.
 * Answers within `health.withinSeconds`, and never throws but the signal's reason.
 */
export async function askHealth(question: HealthQuestion): Promise<Verdict> {
  const { health, signal, beat } = question
  const timer = setInterval(beat, beatEveryMs)
  try {
    const withinMs = health.withinSeconds * 1_000
    return await withDeadline({ signal, withinMs, what: 'the answer' }, (inner) =>
      'hook' in health ? askHook(health.hook, question, inner) : watchFile(health.file, question, inner),
    )
  } catch (error) {
    signal.throwIfAborted()
    const who = 'hook' in health ? `hook ${health.hook}` : health.file
    if (error instanceof DeadlineError) {
      return { healthy: false, why: `${who} said nothing within ${health.withinSeconds} s${await whyUnseen(health)}` }
    }
    return { healthy: false, why: `${who}: ${error instanceof Error ? error.message : String(error)}` }
  } finally {
    clearInterval(timer)
  }
}

/** How the application's file looks: changes whenever it is touched, whatever the clock says. */
export async function lookAt(file: string): Promise<string> {
  try {
    const { ino, mtimeNs, ctimeNs } = await stat(file, { bigint: true })
    return `${file}: ${ino} ${mtimeNs} ${ctimeNs}`
  } catch (error) {
    return `${file}: ${notThere} (${errorCode(error) ?? 'unknown'})`
  }
}

async function askHook(hook: string, { runHook }: HealthQuestion, signal: AbortSignal): Promise<Verdict> {
  for (;;) {
    try {
      return await runHook(hook, signal)
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof AgentError && error.retryable)) throw error
      await sleep(askAgainMs, signal)
    }
  }
}

async function watchFile(file: string, { seen }: HealthQuestion, signal: AbortSignal): Promise<Verdict> {
  // the configuration may name another file than at the time of the switch
  const before = seen?.startsWith(`${file}: `) === true ? seen : await lookAt(file)
  for (;;) {
    const look = await lookAt(file)
    if (look !== before && !look.includes(notThere)) return { healthy: true }
    await sleep(lookEveryMs, signal)
  }
}

async function whyUnseen(health: Health): Promise<string> {
  if ('hook' in health) return ': nobody answers requests to root, or the hook takes longer'
  const look = await lookAt(health.file)
  return look.includes(notThere) ? look.slice(health.file.length) : ', because it was not touched'
}
