import fc from 'fast-check'
import { expect, test } from 'vitest'

import { parseCameraSecret } from '../../../agent/cameras/secret-document.ts'
import { AgentError } from '../../../agent/lib/errors.ts'

const secretId = 'panorama/shared/dock-3'
const secret = { username: 'admin', password: 'hunter2', streamUrl: 'rtsp://10.0.0.5/stream' }

function parse(text: string | undefined): unknown {
  return parseCameraSecret(text, secretId)
}

function faultOf(text: string | undefined): AgentError {
  try {
    parse(text)
  } catch (error) {
    if (error instanceof AgentError) return error
    throw error
  }
  throw new Error('it was taken')
}

test('reads both spellings, with a byte order mark and spaces around them', () => {
  const capitalised = { Username: 'admin', Password: 'hunter2', StreamUrl: 'rtsp://10.0.0.5/stream' }
  expect(parse(JSON.stringify(secret))).toEqual(secret)
  expect(parse(JSON.stringify(capitalised))).toEqual(secret)
  expect(parse(`\uFEFF ${JSON.stringify(secret, undefined, 2)}\n`)).toEqual(secret)
})

test('takes a secret without a stream, and lets other fields pass without keeping them', () => {
  const text = JSON.stringify({ username: 'admin', password: '', engine: 'onvif', USERNAME: 7 })
  expect(parse(text)).toEqual({ username: 'admin', password: '', streamUrl: '' })
})

test.each(['hunter2', 'http://hunter2:70000/', 'rtsp://k\u00fcche:554/', 'rtsp://[fe80::1%25eth0]:554/a b'])(
  'takes %j for a stream URL, which may be right for others',
  (streamUrl) => {
    expect(parse(JSON.stringify({ ...secret, streamUrl }))).toEqual({ ...secret, streamUrl })
  },
)

test('takes empty strings, as a camera has them that needs no credentials', () => {
  const text = JSON.stringify({ Username: '', Password: '', StreamUrl: 'rtsp://10.0.0.5/' })
  expect(parse(text)).toEqual({ username: '', password: '', streamUrl: 'rtsp://10.0.0.5/' })
})

test.each([
  ['admin:hunter2', 'admin', 'hunter2'],
  ['admin:hun:ter:2', 'admin', 'hun:ter:2'],
  ['admin:', 'admin', ''],
  [':hunter2', '', 'hunter2'],
  ['123:456', '123', '456'],
  ['admin:hunter2\n', 'admin', 'hunter2'],
  ['admin: hunter2 \r\n', 'admin', ' hunter2 '],
  ['admin:/etc', 'admin', '/etc'],
  ['ad min:{"p":1}', 'ad min', '{"p":1}'],
])('reads the plain text %j', (text, username, password) => {
  expect(parse(text)).toEqual({ username, password, streamUrl: '' })
})

test('takes user name and password out of the stream URL, and uses them where the fields are empty', () => {
  const streamUrl = 'rtsp://viewer:p%40ss@10.0.0.5/stream'
  const bare = 'rtsp://10.0.0.5/stream'
  expect(parse(JSON.stringify({ username: '', password: '', streamUrl }))).toEqual({
    username: 'viewer',
    password: 'p@ss',
    streamUrl: bare,
  })
  for (const fields of [
    { username: 'admin', password: 'hunter2' },
    { username: 'admin', password: '' },
  ]) {
    expect(parse(JSON.stringify({ ...fields, streamUrl }))).toEqual({ ...fields, streamUrl: bare })
  }
})

test.each([
  [{ username: 'admin' }, 'password is missing'],
  [{ password: 'hunter2' }, 'username is missing'],
  [{}, 'username is missing, password is missing'],
  [{ username: 'admin', password: 5_551_234 }, 'password is not a string'],
  [{ username: 'admin', password: null }, 'password is not a string'],
  [{ username: 'admin', password: 'hunter2', streamUrl: ['hunter2'] }, 'streamUrl is not a string'],
  [{ Username: 'admin', StreamUrl: 7 }, 'Password is missing, StreamUrl is not a string'],
  [{ Username: 'admin', password: 'hunter2' }, 'it mixes two spellings, password and Username'],
  [{ ...secret, StreamUrl: 'rtsp://hunter2/' }, 'it mixes two spellings, username and StreamUrl'],
  [{ username: 'admin', password: 'hunter2'.repeat(147) }, 'password is longer than 1024 characters'],
  [{ ...secret, streamUrl: `rtsp://a/${'hunter2'.repeat(600)}` }, 'streamUrl is longer than 4096 characters'],
  [{ username: 'admin\r', password: 'hunter2\n' }, 'username holds a control character, password holds a control'],
  [{ ...secret, streamUrl: 'rtsp:/hunter2/' }, 'streamUrl is no URL of a camera: look at its host and port'],
  [{ ...secret, streamUrl: ' RTSPS://hunter2:70000/' }, 'streamUrl is no URL of a camera'],
  [{ ...secret, streamUrl: 'rtsp://[fe80::hunter2]/' }, 'streamUrl is no URL of a camera'],
  [{ ...secret, streamUrl: 'rtsp://10.0.0.5 hunter2/' }, 'streamUrl is no URL of a camera'],
  [{ ...secret, streamUrl: 'rtsp://a/\u0000' }, 'streamUrl holds a control character'],
  [{ ...secret, password: 'hunter2\u009f' }, 'password holds a control character'],
  [{ username: '', password: '', streamUrl: 'rtsp://a:hunter2%0A@b/' }, 'password holds a control character'],
])('names what is wrong with %j and shows no value', (document, fault) => {
  const { message } = faultOf(JSON.stringify(document))
  expect(message).toContain(`the secret ${secretId} cannot be read as camera credentials: ${fault}`)
  expect(message).not.toMatch(/hunter2|admin|5551234/)
})

test.each([
  [undefined, 'it holds binary data, not text'],
  ['', 'it is neither a JSON object nor username:password'],
  ['hunter2', 'it is neither a JSON object nor username:password'],
  ['null', 'it is neither a JSON object nor username:password'],
  ['"a:hunter2"', 'it is not a JSON object'],
  ['["hunter2"]', 'it is not a JSON object'],
  ['{"username":"hunter2"', 'it is not JSON'],
  ['{username:"hunter2"}', 'it is not JSON'],
  ['{"username":"a","password":"hunter2","password":"hunter2"}', 'or has a field twice'],
  ['rtsp://admin:hunter2@10.0.0.5/', 'it is a URL alone'],
  ['username: admin\npassword: hunter2', 'password holds a control character'],
  ['admin:hunter2\ud800', 'password holds a control character'],
])('refuses the secret %j, which may be mended at any time, and shows nothing of it', (text, fault) => {
  const error = faultOf(text)
  expect(error).toMatchObject({ name: 'AgentError', retryable: true })
  expect(error.message).toContain(fault)
  expect(error.hint).toContain('store JSON')
  expect(error.cause).toBeUndefined()
  expect(String(error)).not.toContain('hunter2')
})

test('answers any text with a secret or an AgentError that does not hold it', () => {
  const marked = fc.string().map((text) => `~${text}~hunter2~`)
  const documents = fc.dictionary(
    fc.constantFrom('username', 'password', 'Username', 'Password', 'streamUrl'),
    fc.oneof(marked, fc.array(marked)),
  )
  fc.assert(
    fc.property(
      fc.oneof(
        marked,
        documents.map((document) => JSON.stringify(document)),
        documents.map((document) => JSON.stringify(document).slice(0, -2)),
      ),
      (text) => {
        try {
          const { username, password, streamUrl } = parseCameraSecret(text, secretId)
          expect(`${username}${password}${streamUrl}`).not.toMatch(/\p{Cc}/u)
        } catch (error) {
          expect(error).toBeInstanceOf(AgentError)
          expect(String(error)).not.toContain('hunter2')
        }
      },
    ),
  )
})
