import { expect, test } from 'vitest'

import { rtspProbe } from '../../../../agent/cameras/rtsp/rtsp-probe.ts'
import { startRtspCamera, type CameraScheme } from '../../../support/rtsp-camera.ts'

const right = { username: 'admin', password: 'correct horse' }
const wrong = { username: 'admin', password: 'battery staple' }
const signal = new AbortController().signal
const freely = { beforeAttempt: async () => await Promise.resolve(true) }

test.for<readonly CameraScheme[]>([['digest-sha-256'], ['digest-md5'], ['basic'], []])(
  'has the right credential accepted by a camera with %j',
  async (schemes) => {
    await using camera = await startRtspCamera({ schemes })
    expect(await rtspProbe()({ streamUrl: camera.streamUrl, ...right }, freely, signal)).toEqual({ kind: 'accepted' })
    expect(camera.attempts(right)).toEqual({ accepted: schemes.length, refused: 0 })
  },
)

test.for<readonly CameraScheme[]>([['digest-sha-256'], ['digest-md5'], ['basic']])(
  'has a wrong credential refused by a camera with %j, after a single attempt',
  async (schemes) => {
    await using camera = await startRtspCamera({ schemes })
    const outcome = await rtspProbe()({ streamUrl: camera.streamUrl, ...wrong }, freely, signal)
    expect(outcome).toEqual({ kind: 'refused', detail: 'it answers 401 to the credential' })
    expect(camera.attempts(wrong)).toEqual({ accepted: 0, refused: 1 })
    expect(camera.attempts()).toEqual({ accepted: 0, refused: 1 })
  },
)
