import { expect, test } from 'vitest'

import type { ProbeOutcome } from '../../../../agent/cameras/camera-probe.ts'
import { rtspProbe } from '../../../../agent/cameras/rtsp/rtsp-probe.ts'
import { challenging, rtspAnswer, startScriptedCamera, type CameraScript } from '../../../support/scripted-camera.ts'

const basic = 'Basic realm="cam"'

test.for([301, 302, 303, 305, 307, 308])('follows a redirect with %i to another port of the host', async (status) => {
  await using other = await startScriptedCamera(challenging([basic], rtspAnswer(200)))
  await using camera = await startScriptedCamera(redirecting(status, `rtsp://user:pw@127.0.0.1:${other.port}/b`))
  expect(await probe(camera.streamUrl)).toEqual({ outcome: { kind: 'accepted' }, attempts: 1 })
  expect(other.received.map(({ url }) => url)).toEqual(Array(3).fill(`rtsp://127.0.0.1:${other.port}/b`))
})

test('follows a redirect that names a path only, also of OPTIONS', async () => {
  const script = challenging([basic], rtspAnswer(200))
  await using camera = await startScriptedCamera((request, socket) =>
    request.url.endsWith('/live') ? rtspAnswer(302, 'Location: /b') : script(request, socket),
  )
  expect(await probe(camera.streamUrl)).toEqual({ outcome: { kind: 'accepted' }, attempts: 1 })
  expect(camera.received.map(({ method, url }) => `${method} ${url.replace(/.*\//, '/')}`)).toEqual([
    'OPTIONS /live',
    'OPTIONS /b',
    'DESCRIBE /b',
    'DESCRIBE /b',
  ])
})

test('sends the credential where a redirect leads only after it was asked for there, which is another attempt', async () => {
  await using other = await startScriptedCamera(challenging([basic], rtspAnswer(401)))
  await using camera = await startScriptedCamera(
    challenging([basic], rtspAnswer(302, `Location: rtsp://127.0.0.1:${other.port}/b`)),
  )
  expect(await probe(camera.streamUrl)).toMatchObject({ outcome: { kind: 'refused' }, attempts: 2 })
  expect(other.received.map(({ authorization }) => authorization === undefined)).toEqual([true, true, false])
})

test('follows three redirects, no more', async () => {
  await using camera = await startScriptedCamera(redirecting(302, '/again'))
  const outcome = { kind: 'unclear', detail: 'it redirects more than 3 times' }
  expect(await probe(camera.streamUrl)).toEqual({ outcome, attempts: 0 })
  expect(camera.connections()).toBe(4)
})

test.for([
  ['another host', (port: number) => `rtsp://localhost:${port}/b`, 'it redirects to another host'],
  [
    'another host by its path',
    (port: number) => `//localhost:${port}/b`,
    'it redirects to what is no URL of rtsp or rtsps',
  ],
  ['the web', (port: number) => `http://127.0.0.1:${port}/b`, 'it redirects to what is no URL of rtsp or rtsps'],
  ['nowhere', () => '', 'it redirects to what is no URL of rtsp or rtsps'],
] as const)('does not follow a redirect to %s', async ([, location, detail]) => {
  await using other = await startScriptedCamera(() => rtspAnswer(200))
  await using camera = await startScriptedCamera(redirecting(302, location(other.port)))
  expect(await probe(camera.streamUrl)).toEqual({ outcome: { kind: 'unclear', detail }, attempts: 0 })
  expect(other.connections()).toBe(0)
})

test('does not follow a redirect without a Location', async () => {
  await using camera = await startScriptedCamera(() => rtspAnswer(302))
  expect((await probe(camera.streamUrl)).outcome.kind).toBe('unclear')
})

function redirecting(status: number, location: string): CameraScript {
  return ({ method }) => (method === 'OPTIONS' ? rtspAnswer(200) : rtspAnswer(status, `Location: ${location}`))
}

async function probe(streamUrl: string): Promise<{ readonly outcome: ProbeOutcome; readonly attempts: number }> {
  let attempts = 0
  const beforeAttempt = async (): Promise<boolean> => {
    attempts += 1
    return await Promise.resolve(true)
  }
  const target = { streamUrl, username: 'admin', password: 'secret' }
  const outcome = await rtspProbe()(target, { beforeAttempt }, new AbortController().signal)
  return { outcome, attempts }
}
