import type { SwapVerdict } from './refusal-record.ts'
import type { KeepReason, SwapFacts } from './swap-decision.ts'

/** What tries came to, for people: by what was tried. */
export type Details = ReadonlyMap<'current' | 'held' | 'previous', string>

const pending = 'rotation pending on camera'

/** What to remember of a round that kept what there is, or took AWSPREVIOUS; undefined when all is well. */
export function verdictOf(
  versionId: string,
  because: KeepReason | 'previous-accepted',
  { facts, details }: { readonly facts: SwapFacts; readonly details: Details },
): SwapVerdict | undefined {
  const refuses = `it refuses the new credential${bracketed(details.get('current'))}`
  const goesOnWith = goesOn(facts)
  const kept = facts.held === 'none' ? 'failing' : 'pending'
  const base = { versionId, ...(goesOnWith === undefined ? {} : { goesOnWith }) }
  switch (because) {
    case 'current':
    case 'proven':
    case 'unproven':
    case 'not-due':
      return undefined
    case 'withheld':
      return {
        ...base,
        state: kept,
        text: `${pending}: the new credential waits until its host can be asked again`,
      }
    case 'unreachable':
      return {
        ...base,
        state: kept,
        text: `${pending}: the new credential cannot be tried${bracketed(details.get('current'))}`,
      }
    case 'rotation-pending':
      return { ...base, state: 'pending', text: `${pending}: ${refuses} and takes the one in the file` }
    case 'refused':
      return {
        ...base,
        state: 'pending',
        text: `${pending}: ${refuses}; whether it takes the one in the file could not be told${bracketed(details.get('held'))}`,
      }
    case 'previous-accepted':
      return { ...base, state: 'pending', text: `${pending}: ${refuses} and takes AWSPREVIOUS, which is in the file` }
    case 'all-refused':
      return { ...base, state: 'failing', text: allRefused(facts, details) }
  }
}

/** Why nobody knows whether the camera takes what is in its file. */
export function unprovenText(why: string | undefined): string {
  return `the camera has not taken this credential yet${bracketed(why)}`
}

function allRefused({ held, previous, previousTried }: SwapFacts, details: Details): string {
  const file = held === 'same-host' ? ' and the one in the file' : ''
  const ofSecret =
    held === 'current-unproven' ? 'the credential of the secret, which is in the file' : 'the credential of the secret'
  const before =
    previous === 'unreadable'
      ? `; AWSPREVIOUS cannot be read${bracketed(details.get('previous'))}`
      : previous !== 'other'
        ? ''
        : previousTried === 'refused'
          ? ', and AWSPREVIOUS'
          : `; AWSPREVIOUS could not be tried${bracketed(details.get('previous'))}`
  return `the camera refuses ${ofSecret}${bracketed(details.get('current'))}${file}${before}`
}

/** A round that was cut short, because the host had had its refused attempts, goes on where it was. */
function goesOn({ current, heldTried, previous, previousTried }: SwapFacts): SwapVerdict['goesOnWith'] {
  if (current !== 'refused') return undefined
  if (heldTried === 'withheld') return 'held'
  return previousTried === 'withheld' || previous === 'unreadable' ? 'previous' : undefined
}

function bracketed(detail: string | undefined): string {
  return detail === undefined ? '' : ` (${detail})`
}
