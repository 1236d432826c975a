import { sleep } from '../lib/sleep.ts'
import { configure } from './configure-operation.ts'
import type { RootAnswer } from './job-actions.ts'
import type { JobOperation, OperationOf } from './job-document.ts'
import { rotateCertificate } from './rotate-operation.ts'
import { failed, succeeded, type OperationOutcome, type RunningJob } from './running-job.ts'
import { updateAgent } from './update-operation.ts'

const minuteMs = 60_000

/** How long an operation may take at most; it is ended then, whatever it waits for. */
export function deadlineMs(operation: JobOperation): number {
  switch (operation.operation) {
    case 'configure':
      return operation.confirmSeconds * 1_000 + 5 * minuteMs
    case 'sync-artifacts':
      return operation.timeoutSeconds * 1_000
    case 'rollback-artifact':
      return 15 * minuteMs
    case 'rotate-certificate':
      return operation.confirmSeconds * 1_000 + 10 * minuteMs
    case 'update-agent':
      return operation.confirmSeconds * 1_000 + 60 * minuteMs
    case 'collect-diagnostics':
    case 'reboot':
      return 10 * minuteMs
    default:
      return 5 * minuteMs
  }
}

/**
 * Does what the job wants, or finishes what an earlier run began. Rejects where the operation failed; the message is
 * for the operator.
 */
export async function runOperation(operation: JobOperation, job: RunningJob): Promise<OperationOutcome> {
  switch (operation.operation) {
    case 'configure':
      return await configure(operation, job)
    case 'sync-artifacts':
      return succeeded(
        await job.actions.syncArtifacts(operation.artifacts, { signal: job.signal, onProgress: job.progress }),
      )
    case 'rollback-artifact':
      return await rollBack(operation, job)
    case 'refresh-cameras':
      await job.actions.refreshCameras(operation.cameras, job.signal)
      return succeeded({})
    case 'collect-diagnostics':
      return succeeded(await job.actions.collectDiagnostics({ jobId: job.jobId, ...operation }, job.signal))
    case 'rotate-certificate':
      return await rotateCertificate(operation, job)
    case 'forget-certificates': {
      const forgotten = await job.actions.rotation.forget(operation.certificateIds, job.signal)
      return succeeded({ forgotten: String(forgotten.length) })
    }
    case 'restart-agent':
      return await restartAgent(job)
    case 'reboot':
      return await reboot(job)
    case 'restart-application':
      return await restartApplication(operation, job)
    case 'update-agent':
      return await updateAgent(operation, job)
  }
}

/** Going back twice would go back two releases: what the first run chose is what a second one goes to. */
async function rollBack(
  { artifact, to }: OperationOf<'rollback-artifact'>,
  job: RunningJob,
): Promise<OperationOutcome> {
  const { actions, resumed, signal } = job
  const chosen = resumed?.name === 'chosen' ? resumed.data['release'] : undefined
  const target = chosen === undefined ? await actions.rollbackTarget(artifact, to) : String(chosen)
  if (chosen === undefined) await job.step('chosen', { release: target })
  if (actions.currentRelease(artifact) !== target) await actions.rollBack(artifact, target, signal)
  return succeeded({ artifact, release: target })
}

async function restartAgent({ actions, resumed, step, signal }: RunningJob): Promise<OperationOutcome> {
  if (resumed?.name === 'restarting') {
    return resumed.data['processId'] === actions.processId
      ? failed('the agent was asked to restart and did not')
      : succeeded({})
  }
  if (actions.restartAgent === undefined) {
    return failed('no service manager started the agent, so nothing would start it again')
  }
  await step('restarting', { processId: actions.processId })
  actions.restartAgent()
  return await untilEnd(signal)
}

async function reboot({ actions, resumed, step, signal }: RunningJob): Promise<OperationOutcome> {
  const { bootId = '' } = actions
  if (resumed?.name === 'rebooting') {
    const before = resumed.data['bootId']
    if (before === '' || bootId === '') return failed('whether the appliance has rebooted cannot be told')
    if (before !== bootId) return succeeded({})
    // only the agent was restarted, perhaps by the shutdown itself: wait for the boot
    return await untilEnd(signal)
  }
  await step('rebooting', { bootId })
  const answer = await actions.requestRoot({ verb: 'reboot' }, signal)
  if (answer.result === 'refused' || answer.result === 'failed' || answer.code === 'not-taken') {
    return failed(rootRefusal('reboot', answer))
  }
  return await untilEnd(signal)
}

async function restartApplication(
  { unit }: OperationOf<'restart-application'>,
  { actions, resumed, step, signal }: RunningJob,
): Promise<OperationOutcome> {
  if (resumed?.name === 'asked') {
    return failed(`the agent was restarted while ${unit} was: whether that is done is not known`)
  }
  await step('asked')
  const answer = await actions.requestRoot({ verb: 'restart-unit', argument: unit }, signal)
  return answer.result === 'done' ? succeeded({ unit }) : failed(rootRefusal(`restart ${unit}`, answer))
}

function rootRefusal(what: string, { result, code }: RootAnswer): string {
  const said = `root was asked to ${what}: ${result}, ${code}`
  if (code === 'not-taken') return `${said}; systemctl status panorama-agent-request.path`
  if (result === 'refused') return `${said}; list the argument in /etc/panorama-agent/allowed, see panorama-agent(8)`
  return said
}

/** The end of this process is on its way; if it does not come, the deadline of the job does. */
async function untilEnd(signal: AbortSignal): Promise<never> {
  for (;;) await sleep(minuteMs, signal)
}
