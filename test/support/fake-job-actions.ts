import type { ConfigureActions, JobActions, RotationActions, UpdateActions } from '../../agent/jobs/job-actions.ts'
import { AgentError } from '../../agent/lib/errors.ts'

/** Actions that remember their calls, as `name argument`, and do nothing; replace what a test is about. */
export class FakeJobActions implements JobActions {
  readonly calls: string[] = []
  processId = 'process-1'
  bootId: string | undefined = 'boot-1'
  /** Of every artifact. */
  current = 'aaaa'
  configure: ConfigureActions = {
    propose: () => Promise.reject(new AgentError('not expected')),
    dryRun: () => Promise.reject(new AgentError('not expected')),
    settled: () => Promise.resolve(undefined),
    revert: () => Promise.resolve(),
  }
  rotation: RotationActions = {
    begin: ({ id }) => {
      this.calls.push(`rotate ${id}`)
      return Promise.resolve()
    },
    settled: () => Promise.resolve({ kind: 'rotated', certificateId: 'new', previousCertificateId: 'old' }),
    giveUp: (id, reason) => {
      this.calls.push(`give up ${id}: ${reason}`)
      return Promise.resolve()
    },
    forget: (certificateIds) => {
      this.calls.push(`forget ${certificateIds.join()}`)
      return Promise.resolve(certificateIds.slice(0, 1))
    },
  }
  update: UpdateActions = {
    version: '1.0.0',
    candidate: () => Promise.reject(new AgentError('not expected')),
    report: () => Promise.resolve({ kind: 'none' }),
  }
  syncArtifacts: JobActions['syncArtifacts'] = (names) => {
    this.calls.push(`sync ${names?.join() ?? 'all'}`)
    return Promise.resolve({ detector: 'release-7' })
  }
  rollbackTarget: JobActions['rollbackTarget'] = (_artifact, to) => Promise.resolve(to ?? `before-${this.current}`)
  currentRelease: JobActions['currentRelease'] = () => this.current
  rollBack: JobActions['rollBack'] = (artifact, to) => {
    this.calls.push(`roll back ${artifact} to ${to}`)
    this.current = to
    return Promise.resolve()
  }
  refreshCameras: JobActions['refreshCameras'] = (names) => {
    this.calls.push(`refresh ${names?.join() ?? 'all'}`)
    return Promise.resolve()
  }
  collectDiagnostics: JobActions['collectDiagnostics'] = ({ jobId }) => {
    this.calls.push('diagnostics')
    return Promise.resolve({ stream: `diagnostics/${jobId}`, events: 3 })
  }
  requestRoot: JobActions['requestRoot'] = ({ verb, argument = '' }) => {
    this.calls.push(`root ${verb} ${argument}`)
    return Promise.resolve({ result: 'done', code: 'ok' })
  }
  restartAgent: JobActions['restartAgent'] = () => {
    this.calls.push('restart agent')
  }
}
