import type { HookRunner } from '../../artifacts/activation/hook-runner.ts'
import type { CameraHookRunner } from '../../cameras/camera-hooks.ts'
import { AgentError } from '../../lib/errors.ts'
import type { RootAnswer, RootRequests } from '../../root-requests/root-requests.ts'

/** Has root run the hooks of artifacts. */
export function createHookRunner(requests: RootRequests): HookRunner {
  return async (name, signal) => {
    const answer = await requests.request({ verb: 'run-hook', argument: name }, signal)
    return answer.result === 'done' ? { healthy: true } : { healthy: false, why: whyNot(name, answer) }
  }
}

/** Has root run the hooks of cameras. */
export function createCameraHookRunner(requests: RootRequests): CameraHookRunner {
  return async (name, signal) => {
    const answer = await requests.request({ verb: 'run-hook', argument: name }, signal)
    if (answer.result !== 'done') throw new AgentError(whyNot(name, answer), { retryable: true })
  }
}

function whyNot(name: string, { result, code }: RootAnswer): string {
  const said = `hook ${name}: ${result}, ${code}`
  if (code === 'not-taken')
    return `${said}: nobody takes requests to root; systemctl status panorama-agent-request.path`
  if (result === 'refused') return `${said}: list it in /etc/panorama-agent/allowed/run-hook; see panorama-agent(8)`
  return `${said}: journalctl -u panorama-agent-request.service`
}
