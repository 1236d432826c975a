import { access, constants } from 'node:fs/promises'

import { reportError } from '../lib/errors.ts'
import { fail, pass, skip, type Check, type Outcome } from './doctor-check.ts'
import { deniedOutcome, serviceAccess, type FileNeed, type ServiceUser } from './file-access.ts'

/** A file or folder that the agent needs. */
export interface NeededFile {
  /** Where the configuration names it; or the path itself, of what the agent keeps. */
  readonly field: string
  readonly path: string
  readonly need: FileNeed
  /** Whether it is a fault that nothing is there. */
  readonly isRequired?: boolean
  /** Throws what is wrong with what is in it, with a hint. */
  readonly verify?: () => Promise<unknown>
}

export interface FilesDeps {
  readonly files: (user: ServiceUser) => Promise<readonly NeededFile[]>
  /** Whom the agent runs as; undefined where that cannot be told. */
  readonly user: (signal: AbortSignal) => Promise<ServiceUser | undefined>
}

const shownFiles = 20

/** Whether the agent may do with the files that it is configured with what it needs to, whoever looks. */
export function filesCheck({ files, user }: FilesDeps): Check {
  return {
    id: 'files',
    name: 'files',
    withinMs: 10_000,
    run: async (signal) => {
      const who = await user(signal)
      if (who === undefined) {
        return [skip('whom the agent runs as cannot be told: there is no unit, and no state folder')]
      }
      const needed = await files(who)
      const outcomes = await Promise.all(needed.map(async (file) => await outcomeOf(file, who)))
      const faults = outcomes.filter((outcome) => outcome !== 'fine' && outcome !== 'unseen')
      const unseen = needed.filter((_, index) => outcomes[index] === 'unseen').map(({ path }) => path)
      return [...shown(faults), ...unseenOutcomes(unseen), ...fineOutcomes(outcomes, who)]
    },
  }
}

async function outcomeOf(file: NeededFile, user: ServiceUser): Promise<Outcome | 'fine' | 'unseen'> {
  const { field, path, need, isRequired = false, verify } = file
  const found = await serviceAccess(path, user, need)
  switch (found.access) {
    case 'denied':
      return { ...deniedOutcome(found), about: field }
    case 'unseen':
      return 'unseen'
    case 'absent': {
      if (!isRequired) return 'fine'
      const text = `${path} is not there, which ${field} names`
      return { ...fail(text, `put it there, readable by ${user.name}, or take it out of ${field}`), about: field }
    }
    case 'allowed':
      return verify === undefined ? 'fine' : await verified(file, verify)
  }
}

async function verified(
  { field, path }: NeededFile,
  verify: () => Promise<unknown>,
): Promise<Outcome | 'fine' | 'unseen'> {
  if (!(await mayRead(path))) return 'unseen' // by whoever runs this
  try {
    await verify()
    return 'fine'
  } catch (error) {
    const { message, hint } = reportError(error)
    return { ...fail(message, hint), about: field }
  }
}

async function mayRead(path: string): Promise<boolean> {
  return await access(path, constants.R_OK).then(
    () => true,
    () => false,
  )
}

function shown(faults: readonly Outcome[]): readonly Outcome[] {
  if (faults.length <= shownFiles) return faults
  return [...faults.slice(0, shownFiles), fail(`so are ${faults.length - shownFiles} more files`)]
}

function unseenOutcomes(paths: readonly string[]): readonly Outcome[] {
  if (paths.length === 0) return []
  const text = `${paths.slice(0, 3).join(', ')}${paths.length > 3 ? ` and ${paths.length - 3} more` : ''}`
  return [
    { ...skip(`${text} cannot be looked at as this user`, "run this as root or as the agent's user"), about: 'unseen' },
  ]
}

function fineOutcomes(outcomes: readonly (Outcome | string)[], { name }: ServiceUser): readonly Outcome[] {
  const fine = outcomes.filter((outcome) => outcome === 'fine').length
  if (fine < outcomes.length) return []
  return [pass(`${name}, which the agent runs as, may read and write what it is configured with`)]
}
