import { getActiveResourcesInfo } from 'node:process'

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import type { ProbeOutcome } from '../../../../agent/cameras/camera-probe.ts'
import { rtspProbe, type RtspProbeOptions } from '../../../../agent/cameras/rtsp/rtsp-probe.ts'
import { startRtspCamera } from '../../../support/rtsp-camera.ts'
import { challenging, rtspAnswer, startScriptedCamera } from '../../../support/scripted-camera.ts'
import { until } from '../../../support/wait-until.ts'

const credential = { username: 'marked-user', password: 'marked-password' }
const basic = 'Basic realm="cam"'
const never = new AbortController().signal

describe('a camera that cannot be reached', () => {
  test('because it refuses connections is said to', async () => {
    await using camera = await startRtspCamera()
    await camera.setReach('down')
    const outcome = { kind: 'unreachable', detail: 'it refuses connections (ECONNREFUSED)' }
    expect(await probe(camera.streamUrl)).toEqual(outcome)
    await camera.setReach('up')
    expect((await probe(camera.streamUrl)).kind).toBe('refused')
  })

  test('because its name is unknown is not named, since a name may be part of a mistyped URL', async () => {
    const outcome = await probe('rtsp://marked-user:12/34@cam.invalid/')
    expect(outcome).toMatchObject({
      kind: 'unreachable',
      detail: expect.stringMatching(/cannot be resolved \(E/) as string,
    })
    expect(JSON.stringify(outcome)).not.toContain('marked')
  })

  test('because it answers nothing is given up', async () => {
    await using camera = await startRtspCamera()
    await camera.setReach('silent')
    const outcome = { kind: 'unreachable', detail: 'the probe of the camera did not finish within 100 ms' }
    expect(await probe(camera.streamUrl, { probeMs: 100 })).toEqual(outcome)
    await until(() => camera.openConnections() === 0)
  })

  test('because TLS does not come up is given up', async () => {
    await using camera = await startScriptedCamera(() => undefined)
    const outcome = { kind: 'unreachable', detail: 'connecting to the camera did not finish within 100 ms' }
    expect(await probe(`rtsps://127.0.0.1:${camera.port}/`, { connectMs: 100 })).toEqual(outcome)
    await until(() => camera.openConnections() === 0)
  })
})

test('takes an answer that comes byte by byte', async () => {
  const answers = challenging([basic], rtspAnswer(200))
  await using camera = await startScriptedCamera((request, socket) => {
    const bytes = Buffer.from(String(answers(request, socket)).replace('$CSEQ', request.cseq))
    const send = (at: number): void => {
      if (at === bytes.length || !socket.writable) return
      socket.write(bytes.subarray(at, at + 1))
      setImmediate(send, at + 1)
    }
    socket.setNoDelay(true)
    send(0)
    return undefined
  })
  expect(await probe(camera.streamUrl)).toEqual({ kind: 'accepted' })
})

test('gives up an answer that comes byte by byte and never ends', async () => {
  await using camera = await startScriptedCamera((_request, socket) => {
    const timer = setInterval(() => socket.write('R'), 1)
    socket.once('close', () => {
      clearInterval(timer)
    })
    return undefined
  })
  expect((await probe(camera.streamUrl, { probeMs: 100 })).kind).toBe('unreachable')
  await until(() => camera.openConnections() === 0)
})

describe('on abort', () => {
  test.for(['before', 'OPTIONS', 'DESCRIBE', 'with the credential'])(
    '%s, stops at once with the reason',
    async (when) => {
      const controller = new AbortController()
      const reason = new Error('enough')
      if (when === 'before') controller.abort(reason)
      const answers = challenging([basic], '')
      await using camera = await startScriptedCamera((request, socket) => {
        const stage = request.authorization === undefined ? request.method : 'with the credential'
        if (stage !== when) return answers(request, socket)
        controller.abort(reason)
        return undefined
      })
      await expect(probe(camera.streamUrl, {}, controller.signal)).rejects.toBe(reason)
      await until(() => camera.openConnections() === 0)
      expect(camera.connections()).toBe(when === 'before' ? 0 : 1)
    },
  )

  test('while TLS comes up, leaves no connection', async () => {
    const controller = new AbortController()
    await using camera = await startScriptedCamera(() => undefined)
    const probing = probe(`rtsps://127.0.0.1:${camera.port}/`, {}, controller.signal)
    await until(() => camera.openConnections() === 1)
    controller.abort(new Error('enough'))
    await expect(probing).rejects.toThrow('enough')
    await until(() => camera.openConnections() === 0)
  })

  test('while leave for the attempt is asked, sends no credential', async () => {
    const controller = new AbortController()
    await using camera = await startScriptedCamera(challenging([basic], rtspAnswer(200)))
    const leave = Promise.withResolvers<boolean>()
    const beforeAttempt = async (): Promise<boolean> => {
      controller.abort(new Error('enough'))
      return await leave.promise
    }
    const target = { streamUrl: camera.streamUrl, ...credential }
    await expect(rtspProbe()(target, { beforeAttempt }, controller.signal)).rejects.toThrow('enough')
    leave.resolve(true)
    await until(() => camera.openConnections() === 0)
    expect(camera.received.filter(({ authorization }) => authorization !== undefined)).toEqual([])
  })
})

describe('leave for an attempt', () => {
  test('that is not given keeps the credential from being sent', async () => {
    await using camera = await startRtspCamera()
    const beforeAttempt = async (): Promise<boolean> => await Promise.resolve(false)
    const target = { streamUrl: camera.streamUrl, ...credential }
    const outcome = { kind: 'unclear', detail: 'the attempts that the camera is given are used up' }
    expect(await rtspProbe()(target, { beforeAttempt }, never)).toEqual(outcome)
    expect([camera.requests(), camera.attempts()]).toEqual([2, { accepted: 0, refused: 0 }])
    await until(() => camera.openConnections() === 0)
  })

  test('that cannot be asked is a fault of the caller, with any error', async () => {
    await using camera = await startRtspCamera()
    const fault = new Error('the disk is full')
    const beforeAttempt = async (): Promise<boolean> => await Promise.reject(fault)
    const target = { streamUrl: camera.streamUrl, ...credential }
    await expect(rtspProbe()(target, { beforeAttempt }, never)).rejects.toBe(fault)
    await until(() => camera.openConnections() === 0)
  })
})

test.for(['', 'http://cam/1', 'rtsp://', 'marked-password'])('has nothing to ask at %j', async (streamUrl) => {
  const outcome = { kind: 'unclear', detail: 'the stream URL is no URL of rtsp or rtsps' }
  expect(await probe(streamUrl)).toEqual(outcome)
})

test('asks a camera that locked it out without sending a credential', async () => {
  await using camera = await startRtspCamera({ lockOutAfter: 1 })
  expect((await probe(camera.streamUrl)).kind).toBe('refused')
  const outcome = { kind: 'unclear', detail: 'it answers 403 before it is sent a credential' }
  expect(await probe(camera.streamUrl)).toEqual(outcome)
  camera.unlock()
  expect([camera.isLocked(), camera.attempts()]).toEqual([false, { accepted: 0, refused: 1 }])
})

test('outlives a nonce that expires on its way', async () => {
  await using camera = await startRtspCamera({ schemes: ['digest-sha-256'], ...credential })
  let attempts = 0
  const beforeAttempt = async (): Promise<boolean> => {
    attempts += 1
    if (attempts === 1) camera.expireNonces()
    return await Promise.resolve(true)
  }
  const target = { streamUrl: camera.streamUrl, ...credential }
  expect(await rtspProbe()(target, { beforeAttempt }, never)).toEqual({ kind: 'accepted' })
  expect(camera.attempts(credential)).toEqual({ accepted: 1, refused: 0 })
})

test('comes to an outcome that shows nothing of the credential, whatever is answered, and leaves nothing open', async () => {
  const secrets = [
    credential.username,
    credential.password,
    Buffer.from('marked-user:marked-password').toString('base64'),
  ]
  const line = fc.oneof(
    fc.constantFrom(
      'RTSP/1.0 200 OK',
      'RTSP/1.0 401 No',
      'CSeq: $CSEQ',
      'Content-Length: 3',
      '',
      '$',
      'Location: /marked-password',
    ),
    fc.constantFrom(
      `WWW-Authenticate: ${basic}`,
      'WWW-Authenticate: Digest nonce="n", realm="marked-password", stale=true',
    ),
    fc.constantFrom(...secrets, ...secrets.map((secret) => `RTSP/1.0 500 ${secret}`)),
    fc.string({ unit: 'binary', maxLength: 20 }),
  )
  const answer = fc.array(line, { maxLength: 6 }).map((lines) => `${lines.join('\r\n')}\r\n\r\n`)
  const script = fc.array(fc.tuple(answer, fc.boolean()), { minLength: 1, maxLength: 5 })
  const property = fc.asyncProperty(script, async (answers) => {
    await using camera = await startScriptedCamera((_request, socket) => {
      const [text, isEnd] = answers[camera.received.length % answers.length] ?? ['', true]
      if (isEnd) socket.end(text, 'latin1')
      return isEnd ? undefined : text
    })
    const outcome = await probe(camera.streamUrl, { probeMs: 30 })
    for (const secret of secrets) expect(JSON.stringify(outcome)).not.toContain(secret)
    await until(() => camera.openConnections() === 0)
  })
  await fc.assert(property, { numRuns: 100 })
  await until(() => !getActiveResourcesInfo().some((kind) => kind === 'TCPSocketWrap'))
})

async function probe(
  streamUrl: string,
  options: RtspProbeOptions = {},
  signal: AbortSignal = never,
): Promise<ProbeOutcome> {
  const beforeAttempt = async (): Promise<boolean> => await Promise.resolve(true)
  return await rtspProbe(options)({ streamUrl, ...credential }, { beforeAttempt }, signal)
}
