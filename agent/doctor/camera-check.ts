import { fail, pass, skip, warn, type Check, type Outcome } from './doctor-check.ts'

/** What came of asking a camera without a credential. */
export type CameraReach =
  /** It asks for a credential, or for none. */
  | { readonly kind: 'answers'; readonly asksForCredential: boolean }
  | { readonly kind: 'unreachable'; readonly detail: string }
  | { readonly kind: 'unclear'; readonly detail: string }
  /** It is no camera that speaks RTSP. */
  | { readonly kind: 'no-rtsp' }
  /** Neither its secret nor its file could be read. */
  | { readonly kind: 'unknown' }

export interface CamerasCheckOptions {
  readonly cameras: readonly string[]
  /** Asks a camera without ever sending a credential. */
  readonly ask: (camera: string, signal: AbortSignal) => Promise<CameraReach>
  /** Checks that end first, because they read where cameras are. */
  readonly after: readonly string[]
}

const atATime = 8
const mostCameras = 200

/** Whether cameras can be reached. No attempt to sign in is spent: cameras lock out who tries too often. */
export function camerasCheck({ cameras, ask, after }: CamerasCheckOptions): Check {
  return {
    id: 'camera',
    name: 'camera',
    withinMs: 20_000,
    after,
    run: async (signal) => {
      const asked = cameras.slice(0, mostCameras)
      const outcomes = new Map<string, Outcome>()
      const queue = asked.values()
      const lane = async (): Promise<void> => {
        for (const name of queue) outcomes.set(name, cameraOutcome(await ask(name, signal)))
      }
      await Promise.all(Array.from({ length: atATime }, lane))
      const left = cameras.length - asked.length
      const rest = left === 0 ? [] : [{ ...skip(`${left} more were not asked`), about: 'others' }]
      return [...asked.flatMap((name) => ({ ...(outcomes.get(name) ?? skip('was not asked')), about: name })), ...rest]
    },
  }
}

export function cameraOutcome(reach: CameraReach): Outcome {
  switch (reach.kind) {
    case 'answers':
      return reach.asksForCredential
        ? pass('it answers, and asks for a credential')
        : warn('it answers, and shows its stream to anybody', 'set a password on the camera, unless it is meant so')
    case 'unreachable':
      return fail(reach.detail, 'check power, cable, VLAN and address of the camera, and streamUrl in its secret')
    case 'unclear':
      return warn(reach.detail, 'check streamUrl in its secret: host, port and path')
    case 'no-rtsp':
      return skip('its secret holds no URL of rtsp or rtsps')
    case 'unknown':
      return skip('where it is cannot be told: neither its secret nor its file can be read')
  }
}
