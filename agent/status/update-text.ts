import type { StatusDocument } from './status-document.ts'
import { row, withDetails, type PartRows, type StatusRow } from './status-rows.ts'
import type { UpdatePart } from './update-part.ts'

const maxReasonLength = 160
const toDoWhenStuck = 'journalctl -u panorama-agent-update.service says why; install a package with dpkg'

/** What somebody should know of an update of the agent before anything else, as a sentence. */
export function updateCaution({ update, agent }: StatusDocument): readonly string[] {
  const { trial, last } = update ?? {}
  if (trial !== undefined)
    return [`version ${trial.to} of the agent is on trial, and ${trial.from} comes back unless it proves itself`]
  if (last === undefined || last.outcome === 'confirmed') return []
  if (agent.version !== last.from && agent.version !== last.to) return [] // that was before the version that is here now
  const reason = cut(last.reason ?? 'it is not known why')
  if (last.outcome === 'stuck') return [`the last update of the agent failed, and so did the way back: ${reason}`]
  return agent.version === last.to ? [] : [`the update of the agent to version ${last.to} was taken back: ${reason}`]
}

/** The update on trial, or else the last one. */
export function updateRows(update: UpdatePart | undefined, rows: PartRows): readonly StatusRow[] {
  const { trial, last } = update ?? {}
  if (trial !== undefined) {
    const { from, to, until } = trial
    return [row('update', 'trial', `from version ${from} to ${to}, ${phaseText(trial.phase, until, rows)}`)]
  }
  if (last === undefined) return []
  const { outcome, from, to, at, reason } = last
  const when = at === undefined ? '' : ` on ${at.slice(0, 16).replace('T', ' ')} UTC`
  if (outcome === 'confirmed') return [row('update', 'ok', `from version ${from} to ${to}, confirmed${when}`)]
  const shown = row('update', outcome, `from version ${from} to ${to}, given up${when}`)
  return [
    withDetails(shown, [
      ...(reason === undefined ? [] : [{ label: 'error' as const, text: reason }]),
      ...(outcome === 'stuck' ? [{ label: 'hint' as const, text: toDoWhenStuck }] : []),
    ]),
  ]
}

function phaseText(phase: string, until: string | undefined, rows: PartRows): string {
  if (phase === 'installing') return 'is being installed'
  if (phase === 'reverting') return 'goes back'
  if (phase === 'ended') return 'is about to end'
  return until === undefined ? 'to be confirmed' : `goes back in ${rows.until(until)} unless it is confirmed`
}

function cut(text: string): string {
  return text.length > maxReasonLength ? `${text.slice(0, maxReasonLength)}...` : text
}
