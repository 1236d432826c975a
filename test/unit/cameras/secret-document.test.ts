import fc from 'fast-check'
import { expect, test } from 'vitest'

import { parseCameraSecret } from '../../../agent/cameras/secret-document.ts'
import { AgentError } from '../../../agent/lib/errors.ts'

const secret = { username: 'admin', password: 'hunter2', streamUrl: 'rtsp://10.0.0.5/stream' }

test('reads both spellings', () => {
  const capitalised = { Username: 'admin', Password: 'hunter2', StreamUrl: 'rtsp://10.0.0.5/stream' }
  expect(parseCameraSecret(JSON.stringify(secret))).toEqual(secret)
  expect(parseCameraSecret(JSON.stringify(capitalised))).toEqual(secret)
})

test('takes a secret without a stream, and lets other fields pass without keeping them', () => {
  const text = JSON.stringify({ username: 'admin', password: '', engine: 'onvif' })
  expect(parseCameraSecret(text)).toEqual({ username: 'admin', password: '', streamUrl: '' })
})

test.each([
  [{ username: 'admin' }, 'password'],
  [{ password: 'hunter2' }, 'username'],
  [{ username: 'admin', password: 5_551_234 }, 'password'],
  [{ username: 'admin', password: null }, 'password'],
  [{ username: 'admin', password: 'hunter2', streamUrl: ['hunter2'] }, 'streamUrl'],
  [{ Username: 'admin', password: 'hunter2' }, 'Password'],
  [{ username: 'admin', password: 'hunter2'.repeat(1_000) }, 'password'],
])('names the faulty field of %j and shows no value', (document, field) => {
  const parse = () => parseCameraSecret(JSON.stringify(document))
  expect(parse).toThrow(new RegExp(`camera credentials: ${field} \\(`))
  expect(parse).not.toThrow(/hunter2|admin|5551234/)
})

test.each([undefined, '', 'hunter2', '"hunter2"', '["hunter2"]', 'null', '{"username":"hunter2"'])(
  'refuses the secret %j, which may be mended at any time, and shows nothing of it',
  (text) => {
    try {
      parseCameraSecret(text)
      expect.unreachable()
    } catch (error) {
      expect(error).toMatchObject({ name: 'AgentError', retryable: true })
      expect(error).toHaveProperty('hint', expect.stringContaining('store JSON'))
      expect(String(error)).not.toContain('hunter2')
    }
  },
)

test('answers any text with a secret or an AgentError that does not hold it', () => {
  const marked = fc.string().map((text) => `~${text}~hunter2~`)
  const documents = fc.dictionary(
    fc.constantFrom('username', 'password', 'Username', 'Password'),
    fc.oneof(marked, fc.array(marked)),
  )
  fc.assert(
    fc.property(
      fc.oneof(
        marked,
        documents.map((document) => JSON.stringify(document)),
      ),
      (text) => {
        try {
          parseCameraSecret(text)
        } catch (error) {
          expect(error).toBeInstanceOf(AgentError)
          expect(String(error)).not.toContain('hunter2')
        }
      },
    ),
  )
})
