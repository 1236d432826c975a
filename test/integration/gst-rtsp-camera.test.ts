import { describe, expect, test } from 'vitest'

import type { ProbeOutcome } from '../../agent/cameras/camera-probe.ts'
import { rtspProbe } from '../../agent/cameras/rtsp/rtsp-probe.ts'
import { startGstRtspCamera, whyNoGstRtspServer } from '../support/gst-rtsp-camera.ts'

const noServer = await whyNoGstRtspServer()
if (noServer !== undefined) console.log(`left out: cameras by GStreamer: ${noServer}`)

const accepted = { kind: 'accepted' }
const refused = { kind: 'refused', detail: 'it answers 401 to the credential' }

describe.skipIf(noServer !== undefined).for(['digest', 'basic'] as const)('a camera by GStreamer with %s', (scheme) => {
  test('takes the right password, and none that was changed or is wrong', async () => {
    await using camera = await startGstRtspCamera({ scheme, username: 'admin', password: 'first: "pässword"' })
    const probe = async (password: string): Promise<ProbeOutcome> =>
      await probed({ streamUrl: camera.streamUrl, username: 'admin', password })
    expect(await probe('first: "pässword"')).toEqual(accepted)
    expect(await probe('second')).toEqual(refused)
    await camera.setPassword('second')
    expect(await probe('first: "pässword"')).toEqual(refused)
    expect(await probe('second')).toEqual(accepted)
  })

  test('takes no other user, and says nothing of a credential where there is no stream', async () => {
    await using camera = await startGstRtspCamera({ scheme, username: 'admin', password: 'secret' })
    const { streamUrl } = camera
    expect(await probed({ streamUrl, username: 'root', password: 'secret' })).toEqual(refused)
    expect(await probed({ streamUrl, username: '', password: '' })).toMatchObject({ kind: 'refused' })
    const nowhere = { streamUrl: `${streamUrl}-2`, username: 'admin', password: 'secret' }
    expect(await probed(nowhere)).toEqual({ kind: 'unclear', detail: 'it answers 404 before it is sent a credential' })
  })
})

async function probed(target: Parameters<ReturnType<typeof rtspProbe>>[0]): Promise<ProbeOutcome> {
  const beforeAttempt = async (): Promise<boolean> => await Promise.resolve(true)
  return await rtspProbe()(target, { beforeAttempt }, new AbortController().signal)
}
