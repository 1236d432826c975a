import { randomBytes } from 'node:crypto'

import { AgentError } from '../lib/errors.ts'
import { sleep } from '../lib/sleep.ts'
import type { RootAnswer, UpdateReport } from './job-actions.ts'
import type { OperationOf } from './job-document.ts'
import { failed, succeeded, type OperationOutcome, type RunningJob } from './running-job.ts'

/** The step of a job whose update may be in root's hands, which bound how often it is tried. */
export const askingForUpdate = 'asking'

/** Root's documents are looked at soon after a start, where it has often ended already, and then ever more rarely. */
const poll = { firstMs: 50, longestMs: 2_000 }
/** How long root may be at a request that it took and has not answered: two minutes. */
const takenPolls = 60

/**
 * Has root try the package in an artifact, and waits for what comes of it. The id is on disk before root is asked, and root
 * takes an id once: whichever agent goes on after a restart, the new one or the old, finds the outcome under it.
 */
export async function updateAgent(operation: OperationOf<'update-agent'>, job: RunningJob): Promise<OperationOutcome> {
  const { actions, resumed, signal } = job
  const isResumed = resumed?.name === askingForUpdate
  const asking = isResumed ? { id: String(resumed.data['id']) } : await prepare(operation, job)
  if (asking instanceof AgentError) return failed(asking.message)
  const { id } = asking
  if ((await actions.update.report(id)).kind === 'none') {
    job.progress({ step: 'install' })
    const answer = await actions.requestRoot({ verb: 'install-update', argument: askFor(operation, id) }, signal)
    if (answer.code === 'already-installed') return succeeded({ version: actions.update.version, changes: 'none' })
    const isTaken = answer.result === 'no answer' && answer.code === 'taken'
    if (answer.result !== 'done' && !isTaken) return refusal(answer)
  }
  job.progress({ step: 'trial', confirmSeconds: operation.confirmSeconds })
  return await outcome(id, job)
}

/** The version goes along as well: only root, once the signature holds, knows which one it installs. */
function askFor({ artifact, confirmSeconds, expectedVersion }: OperationOf<'update-agent'>, id: string): string {
  return [artifact, confirmSeconds, id, ...(expectedVersion === undefined ? [] : [expectedVersion])].join(':')
}

/** An error is one that the operator has to mend. */
async function prepare(
  { artifact, expectedVersion }: OperationOf<'update-agent'>,
  { actions, step, progress, signal }: RunningJob,
): Promise<{ readonly id: string } | AgentError> {
  progress({ step: 'sync' })
  await actions.syncArtifacts([artifact], { signal, onProgress: progress })
  const version = await actions.update.candidate(artifact)
  if (expectedVersion !== undefined && expectedVersion !== version)
    return new AgentError(`${artifact} holds version ${version}, and ${expectedVersion} is expected`)
  const id = randomBytes(8).toString('hex')
  await step(askingForUpdate, { id, version })
  return { id }
}

async function outcome(id: string, { actions, signal }: RunningJob): Promise<OperationOutcome> {
  let restMs = poll.firstMs
  for (let missing = 0; missing < takenPolls;) {
    const report = await actions.update.report(id)
    if (report.kind === 'ended') return ofReport(report, actions.update.version)
    missing = report.kind === 'none' ? missing + 1 : 0
    await sleep(restMs, signal)
    restMs = Math.min(2 * restMs, poll.longestMs)
  }
  return failed('root was asked, and knows nothing of the update; journalctl -u panorama-agent-request.service')
}

function ofReport(
  { outcome: end, from, to, reason }: UpdateReport & { readonly kind: 'ended' },
  version: string,
): OperationOutcome {
  switch (end) {
    case 'confirmed':
      return succeeded({ version: to, from })
    case 'rolled-back':
      return { status: 'FAILED', details: { reason, version, tried: to } }
    case 'stuck':
      return {
        status: 'FAILED',
        details: {
          reason,
          tried: to,
          hint: 'journalctl -u panorama-agent-update.service; install a package with dpkg',
        },
      }
  }
}

function refusal({ result, code }: RootAnswer): OperationOutcome {
  const reason = `root was asked to install the update: ${result}, ${code}`
  return { status: 'FAILED', details: { reason, code, hint: hints[code] ?? 'see "Updates" in panorama-agent(8)' } }
}

const allow = 'list the artifact in /etc/panorama-agent/allowed/install-update, see panorama-agent(8)'
const hints: Readonly<Record<string, string>> = {
  'not-taken': 'systemctl status panorama-agent-request.path',
  'verb-not-allowed': allow,
  'argument-not-allowed': allow,
  'no-update-key': 'put the public key into /etc/panorama-agent/update-keys',
  'bad-signature': 'sign the package with a key whose public half is in /etc/panorama-agent/update-keys',
  'unexpected-version': 'the signed package is of another version than expectedVersion: publish that one',
  'no-way-back':
    'put the package of the installed version at /var/lib/panorama-agent-update/installed.deb, or install it with dpkg again',
  'not-newer': 'an update only goes up; another version is installed by hand',
  'no-space': 'free some space for the package beside the one that is installed',
}
