import { describe, expect, test } from 'vitest'

import type { ProbeOutcome } from '../../../../agent/cameras/camera-probe.ts'
import { rtspProbe } from '../../../../agent/cameras/rtsp/rtsp-probe.ts'
import {
  challenging,
  filledIn,
  rtspAnswer,
  startScriptedCamera,
  type ScriptedCamera,
} from '../../../support/scripted-camera.ts'
import { until } from '../../../support/wait-until.ts'

const basic = 'Basic realm="cam"'
const digest = 'Digest realm="cam", nonce="n1", qop="auth"'
const accepted: ProbeOutcome = { kind: 'accepted' }
const unclear = (detail: string): ProbeOutcome => ({ kind: 'unclear', detail })

test('asks OPTIONS, DESCRIBE, and DESCRIBE with the credential, on one connection', async () => {
  await using camera = await startScriptedCamera(challenging([digest], rtspAnswer(200)))
  const { outcome, attempts } = await probe(camera, { streamUrl: `rtsp://u:p@127.0.0.1:${camera.port}/a b"?c#d` })
  const url = `rtsp://127.0.0.1:${camera.port}/a%20b%22?c`
  expect([outcome, attempts, camera.connections()]).toEqual([accepted, 1, 1])
  expect(
    camera.received.map(({ text }) => text.replace(/Authorization: .*/, 'Authorization: it').split('\r\n')),
  ).toEqual([
    [`OPTIONS ${url} RTSP/1.0`, 'CSeq: 1', 'User-Agent: panorama-agent'],
    [`DESCRIBE ${url} RTSP/1.0`, 'CSeq: 2', 'User-Agent: panorama-agent', 'Accept: application/sdp'],
    [
      `DESCRIBE ${url} RTSP/1.0`,
      'CSeq: 3',
      'User-Agent: panorama-agent',
      'Accept: application/sdp',
      'Authorization: it',
    ],
  ])
  expect(camera.received[2]?.authorization).toContain(`uri="${url}"`)
})

test.for([
  ['OPTIONS with 401', 401],
  ['OPTIONS with 501', 501],
  ['OPTIONS with 404', 404],
] as const)('goes on with a camera that answers %s', async ([, status]) => {
  const script = challenging([digest], rtspAnswer(200))
  await using camera = await startScriptedCamera((request, socket) =>
    request.method === 'OPTIONS' ? rtspAnswer(status, `WWW-Authenticate: ${basic}`) : script(request, socket),
  )
  expect(await probe(camera)).toEqual({ outcome: accepted, attempts: 1 })
  expect(camera.received.at(-1)?.authorization).toContain('nonce="n1"')
})

describe('a camera that ends the connection', () => {
  test('after each answer of 401 is asked on a new one', async () => {
    await using camera = await startScriptedCamera((request, socket) => {
      if (request.authorization !== undefined) return rtspAnswer(200)
      socket.end(filledIn(rtspAnswer(401, `WWW-Authenticate: ${digest}`), request))
      return undefined
    })
    const beforeAttempt = async (): Promise<boolean> => {
      await until(() => camera.openConnections() === 0) // it is known before the credential is sent
      return true
    }
    const target = { streamUrl: camera.streamUrl, username: 'admin', password: 'secret' }
    expect(await rtspProbe()(target, { beforeAttempt }, new AbortController().signal)).toEqual(accepted)
    expect(camera.connections()).toBe(3)
  })

  test('instead of answering OPTIONS is asked DESCRIBE', async () => {
    const script = challenging([digest], rtspAnswer(200))
    await using camera = await startScriptedCamera((request, socket) => {
      if (request.method !== 'OPTIONS') return script(request, socket)
      socket.end()
      return undefined
    })
    expect(await probe(camera)).toEqual({ outcome: accepted, attempts: 1 })
    expect(camera.received.map(({ method }) => method)).toEqual(['OPTIONS', 'DESCRIBE', 'DESCRIBE'])
  })

  test('when the credential comes on the old one is sent it again, which is another attempt', async () => {
    await using camera = await startScriptedCamera(
      challenging([digest], ({ connection }, socket) => {
        if (connection === 1) return rtspAnswer(200)
        socket.destroy()
        return undefined
      }),
    )
    expect(await probe(camera)).toEqual({ outcome: accepted, attempts: 2 })
    expect(camera.received.filter(({ authorization }) => authorization !== undefined)).toHaveLength(2)
  })

  test('whenever the credential comes is sent it twice, no more', async () => {
    await using camera = await startScriptedCamera(
      challenging([digest], (_request, socket) => {
        socket.destroy()
        return undefined
      }),
    )
    const detail = 'the connection ended before its answer'
    expect(await probe(camera)).toEqual({ outcome: { kind: 'unreachable', detail }, attempts: 2 })
    expect(camera.received.filter(({ authorization }) => authorization !== undefined)).toHaveLength(2)
  })

  test('when the credential comes is not sent it again when it has had its attempts', async () => {
    await using camera = await startScriptedCamera(
      challenging([digest], (_request, socket) => {
        socket.destroy()
        return undefined
      }),
    )
    const probed = await probe(camera, { given: 1 })
    expect(probed).toMatchObject({ outcome: { kind: 'unreachable' }, attempts: 1 })
    expect(camera.received.filter(({ authorization }) => authorization !== undefined)).toHaveLength(1)
  })

  test('within an answer tells nothing', async () => {
    await using camera = await startScriptedCamera((_request, socket) => {
      socket.end('RTSP/1.0 200 OK\r\nCSe')
      return undefined
    })
    const outcome = unclear('the connection ended within its answer')
    expect(await probe(camera)).toEqual({ outcome, attempts: 0 })
  })
})

describe('a nonce that is stale', () => {
  const stale = (nonce: string): string =>
    rtspAnswer(401, `WWW-Authenticate: Digest realm="cam", nonce="${nonce}", stale=TRUE`)

  test('is followed by the new one, which is another attempt', async () => {
    await using camera = await startScriptedCamera(
      challenging([digest], ({ authorization = '' }) =>
        authorization.includes('"n2"') ? rtspAnswer(200) : stale('n2'),
      ),
    )
    expect(await probe(camera)).toEqual({ outcome: accepted, attempts: 2 })
  })

  test('is the end of it when the camera has had its attempts', async () => {
    await using camera = await startScriptedCamera(challenging([digest], () => stale('n2')))
    const outcome = unclear('the attempts that the camera is given are used up')
    expect(await probe(camera, { given: 1 })).toEqual({ outcome, attempts: 1 })
    expect(camera.received.filter(({ authorization }) => authorization !== undefined)).toHaveLength(1)
  })

  test('ends with a refusal when the credential is refused with the new one', async () => {
    const refusal = rtspAnswer(401, `WWW-Authenticate: ${digest}`)
    await using camera = await startScriptedCamera(
      challenging([digest], ({ authorization = '' }) => (authorization.includes('"n2"') ? refusal : stale('n2'))),
    )
    expect((await probe(camera)).outcome).toMatchObject({ kind: 'refused' })
  })

  test('tells nothing when every nonce is, and is not tried for ever', async () => {
    await using camera = await startScriptedCamera(challenging([digest], () => stale('n')))
    expect(await probe(camera)).toEqual({ outcome: unclear('it calls every nonce stale'), attempts: 2 })
    expect(camera.received).toHaveLength(4)
  })

  test('is no reason to try Basic again', async () => {
    await using camera = await startScriptedCamera(challenging([basic], () => stale('n')))
    expect((await probe(camera)).outcome).toMatchObject({ kind: 'refused' })
    expect(camera.received).toHaveLength(3)
  })
})

describe('after the credential was sent, an answer of', () => {
  test.for([200, 204, 404, 406, 415, 453, 454])('%i means that it was taken', async (status) => {
    await using camera = await startScriptedCamera(challenging([basic], rtspAnswer(status)))
    expect(await probe(camera)).toEqual({ outcome: accepted, attempts: 1 })
  })

  test.for([401, 403])('%i means that it was refused', async (status) => {
    await using camera = await startScriptedCamera(challenging([basic], rtspAnswer(status)))
    const outcome = { kind: 'refused', detail: `it answers ${status} to the credential` }
    expect(await probe(camera)).toEqual({ outcome, attempts: 1 })
  })

  test.for([300, 400, 405, 407, 451, 500, 503, 505, 551])('%i tells nothing', async (status) => {
    await using camera = await startScriptedCamera(challenging([basic], rtspAnswer(status)))
    const outcome = unclear(`it answers ${status} to a request with the credential`)
    expect(await probe(camera)).toEqual({ outcome, attempts: 1 })
  })
})

test('sends no credential to a camera that asks for none', async () => {
  await using camera = await startScriptedCamera(() => rtspAnswer(200))
  expect(await probe(camera)).toEqual({ outcome: accepted, attempts: 0 })
  expect(camera.received).toHaveLength(2)
})

test.for([400, 403, 404, 454, 500, 503])('sends no credential to a camera that answers %i at once', async (status) => {
  await using camera = await startScriptedCamera(() => rtspAnswer(status))
  const outcome = unclear(`it answers ${status} before it is sent a credential`)
  expect(await probe(camera)).toEqual({ outcome, attempts: 0 })
})

test.for([[], ['Negotiate'], ['Digest realm="r", nonce="n", algorithm=SHA-512']])(
  'sends no credential to a camera that asks by %j',
  async (challenges) => {
    await using camera = await startScriptedCamera(challenging(challenges, rtspAnswer(200)))
    const detail = 'it asks for a credential in no way that is known: Digest with SHA-256 or MD5, or Basic'
    expect(await probe(camera)).toEqual({ outcome: unclear(detail), attempts: 0 })
  },
)

describe('a credential', () => {
  test.for([
    ['admin', '', 'Basic YWRtaW46'],
    ['', 'secret', 'Basic OnNlY3JldA=='],
  ] as const)('of %j and %j is sent', async ([username, password, expected]) => {
    await using camera = await startScriptedCamera(challenging([basic], rtspAnswer(200)))
    expect(await probe(camera, { username, password })).toEqual({ outcome: accepted, attempts: 1 })
    expect(camera.received.at(-1)?.authorization).toBe(expected)
  })

  test('that is empty is not sent where one is asked for', async () => {
    await using camera = await startScriptedCamera(challenging([basic], rtspAnswer(200)))
    const outcome = { kind: 'refused', detail: 'it asks for a credential, and the secret holds none' }
    expect(await probe(camera, { username: '', password: '' })).toEqual({ outcome, attempts: 0 })
    expect(camera.received).toHaveLength(2)
  })

  test.for(['a\r\nX: y', 'a\0', 'a\u0085'])('with the user name %j is not sent', async (username) => {
    await using camera = await startScriptedCamera(challenging([digest], rtspAnswer(200)))
    const outcome = unclear('the user name holds control characters, which cannot be sent')
    expect(await probe(camera, { username })).toEqual({ outcome, attempts: 0 })
  })
})

describe('what comes before the answer', () => {
  test.for([
    ['interleaved frames', '$\0\0\x05\r\n\r\nR$\0\0\0'],
    ['a request of the camera', 'GET_PARAMETER * RTSP/1.0\r\nCSeq: 1\r\n\r\n'],
    ['100 Continue', rtspAnswer(100)],
    ['an answer to another request', 'RTSP/1.0 404 Not Found\r\nCSeq: 77\r\n\r\n'],
  ])('is passed over: %s', async ([, before = '']) => {
    const script = challenging([digest], rtspAnswer(200))
    await using camera = await startScriptedCamera((request, socket) => {
      socket.write(before, 'latin1')
      return script(request, socket)
    })
    expect(await probe(camera)).toEqual({ outcome: accepted, attempts: 1 })
  })

  test('is not passed over for ever', async () => {
    await using camera = await startScriptedCamera(() => 'RTSP/1.0 100 Continue\r\n\r\n'.repeat(100))
    expect((await probe(camera)).outcome).toEqual(unclear('it sends answers to what was not asked'))
  })
})

test.for([
  ['a body', ['Content-Length: 12'], 'RTSP/1.0 200', 1],
  ['a body that is too long to read', ['Content-Length: 100000'], '<html>', 3],
  ['a body of no length', [], '<html>\r\n\r\n', 3],
] as const)('goes on after answers with %s', async ([, headers, body, connections]) => {
  await using camera = await startScriptedCamera(({ authorization, method }) => {
    if (authorization !== undefined) return rtspAnswer(200)
    return rtspAnswer(method === 'OPTIONS' ? 200 : 401, `WWW-Authenticate: ${digest}`, ...headers) + body
  })
  expect(await probe(camera)).toEqual({ outcome: accepted, attempts: 1 })
  expect(camera.connections()).toBe(connections)
})

test('takes an answer without a CSeq for the one to its request', async () => {
  await using camera = await startScriptedCamera(({ authorization }) =>
    authorization === undefined ? `RTSP/1.0 401 No\r\nWWW-Authenticate: ${basic}\r\n\r\n` : 'RTSP/1.0 200 OK\r\n\r\n',
  )
  expect(await probe(camera)).toEqual({ outcome: accepted, attempts: 1 })
})

test.for([
  ['a web server', 'HTTP/1.1 400 Bad Request\r\n\r\n', 'it answers with something that is not RTSP'],
  ['garbage', '\x00\xff'.repeat(10_000), 'the header of its answer is longer than 16 KiB'],
  [
    'a head without an end',
    'RTSP/1.0 200 OK\r\n' + 'A: b\r\n'.repeat(20_000),
    'the header of its answer is longer than 16 KiB',
  ],
  ['frames without an end', '$\0\0\0'.repeat(100_000), 'it sends much, but no answer'],
])('learns nothing from %s', async ([, answer = '', detail = '']) => {
  await using camera = await startScriptedCamera(() => answer)
  expect(await probe(camera)).toEqual({ outcome: unclear(detail), attempts: 0 })
})

interface Probed {
  readonly outcome: ProbeOutcome
  readonly attempts: number
}

interface Credential {
  readonly streamUrl?: string
  readonly username?: string
  readonly password?: string
  /** How many attempts there are. */
  readonly given?: number
}

async function probe(camera: ScriptedCamera, { given = 2, ...credential }: Credential = {}): Promise<Probed> {
  let attempts = 0
  const beforeAttempt = async (): Promise<boolean> => {
    if (attempts === given) return await Promise.resolve(false)
    attempts += 1
    return true
  }
  const target = { streamUrl: camera.streamUrl, username: 'admin', password: 'secret', ...credential }
  const outcome = await rtspProbe()(target, { beforeAttempt }, new AbortController().signal)
  return { outcome, attempts }
}
