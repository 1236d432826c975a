import type { CameraProbe, ProbeOutcome } from '../../agent/cameras/camera-probe.ts'
import { cameraHost } from '../../agent/cameras/stream-url.ts'

export interface FakeCamera {
  username: string
  password: string
  isReachable: boolean
  /** Answers nothing that tells. */
  isUnclear: boolean
  /** When it refused a credential, as `now` has it. */
  readonly refusedAtMs: number[]
  /** The passwords that it refused since it has the one that it has. */
  readonly refused: Set<string>
  /** Credentials that it took. */
  accepted: number
  /** How often it was asked at all. */
  asked: number
}

/** Cameras in memory, by host; a host without one cannot be reached. */
export class FakeCameras {
  readonly #cameras = new Map<string, FakeCamera>()
  readonly #now: () => number
  /** Runs before each answer. */
  beforeAnswer: (host: string, signal: AbortSignal) => Promise<void> | void = () => undefined

  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** Puts a camera there, or changes its credential. */
  put(host: string, password: string, username = 'admin'): FakeCamera {
    const found = this.#cameras.get(host)
    if (found !== undefined) {
      if (found.password !== password) found.refused.clear()
      return Object.assign(found, { username, password })
    }
    const camera = {
      username,
      password,
      isReachable: true,
      isUnclear: false,
      refusedAtMs: [],
      refused: new Set<string>(),
      accepted: 0,
      asked: 0,
    }
    this.#cameras.set(host, camera)
    return camera
  }

  get(host: string): FakeCamera | undefined {
    return this.#cameras.get(host)
  }

  readonly probe: CameraProbe = async ({ streamUrl, username, password }, { beforeAttempt }, signal) => {
    signal.throwIfAborted()
    const host = cameraHost(streamUrl) ?? ''
    const camera = this.#cameras.get(host)
    if (camera !== undefined) camera.asked += 1
    await this.beforeAnswer(host, signal)
    if (camera?.isReachable !== true) return { kind: 'unreachable', detail: 'nobody is there' }
    if (!(await beforeAttempt())) return { kind: 'unclear', detail: 'nothing was sent' }
    return this.#answer(camera, { username, password })
  }

  #answer(camera: FakeCamera, { username, password }: Login): ProbeOutcome {
    if (camera.isUnclear) return { kind: 'unclear', detail: 'it answers 503' }
    if (username === camera.username && password === camera.password) {
      camera.accepted += 1
      return { kind: 'accepted' }
    }
    camera.refusedAtMs.push(this.#now())
    camera.refused.add(password)
    return { kind: 'refused', detail: 'it answers 401' }
  }
}

interface Login {
  readonly username: string
  readonly password: string
}
