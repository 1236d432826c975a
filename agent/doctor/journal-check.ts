import { fail, pass, skip, type Check, type Outcome } from './doctor-check.ts'
import { toJoin, type GroupFacts } from './group-check.ts'
import type { ProgramResult } from './run-program.ts'

export interface JournalDeps {
  /** Whether any source of logs is the journal. */
  readonly isConfigured: boolean
  readonly groups: (signal: AbortSignal) => Promise<GroupFacts>
  /** `journalctl --lines=1`. */
  readonly ask: (signal: AbortSignal) => Promise<ProgramResult>
}

const group = 'systemd-journal'
const notAllowed = /not seeing messages from other users|due to insufficient permissions/

export function journalCheck({ isConfigured, groups, ask }: JournalDeps): Check {
  return {
    id: 'journal',
    name: 'journal',
    withinMs: 8_000,
    run: async (signal) => {
      if (!isConfigured) return [skip('no source of logs is the journal')]
      const [result, facts] = await Promise.all([ask(signal), groups(signal)])
      return [
        { ...readingOutcome(result), about: 'reading' },
        { ...membershipOutcome(facts), about: 'group' },
      ]
    },
  }
}

function readingOutcome({ exitCode, errorCode, stdout, stderr }: ProgramResult): Outcome {
  if (errorCode === 'ENOENT')
    return fail('there is no journalctl', 'install systemd, or take sources of kind "journal" out of logs.sources')
  if (exitCode === undefined)
    return fail('journalctl did not end in time', 'journalctl --verify, and journalctl --disk-usage')
  if (notAllowed.test(stderr)) return skip('this user sees its own entries only', 'run this as root')
  if (exitCode !== 0) return fail(`journalctl failed with ${exitCode}: ${stderr.slice(0, 200)}`, 'journalctl --verify')
  return stdout.trim() === ''
    ? fail('the journal is empty', 'systemctl status systemd-journald')
    : pass('journalctl answers')
}

function membershipOutcome({ exists, isOfService }: GroupFacts): Outcome {
  if (!exists(group)) return skip(`there is no group ${group} on this machine`)
  if (isOfService === undefined) return skip('which groups the service has cannot be told here')
  if (isOfService(group)) return pass(`the agent is in the group ${group}`)
  return fail(`the agent is not in the group ${group}, so it cannot read the journal`, toJoin(group))
}
