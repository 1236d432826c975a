import { describe, expect, test } from 'vitest'

import {
  CredentialsError,
  credentialsRefused,
  credentialsUnreachable,
  type CredentialsFailure,
} from '../../../agent/aws/iot-credential-errors.ts'
import { AgentError } from '../../../agent/lib/errors.ts'

const request = { endpoint: 'c1.example.com', roleAlias: 'the-alias', thingName: 'the-thing' }

interface Row {
  readonly status: number
  readonly text: string
  readonly failure: CredentialsFailure
  readonly retryable: boolean
  readonly hint: string
}

const table: readonly Row[] = [
  {
    status: 403,
    text: 'Invalid thing name passed',
    failure: 'thing-not-attached',
    retryable: false,
    hint: 'attach-thing-principal --thing-name the-thing',
  },
  {
    status: 403,
    text: 'Access Denied',
    failure: 'policy-denies',
    retryable: false,
    hint: 'iot:AssumeRoleWithCertificate on role alias the-alias',
  },
  {
    status: 403,
    text: 'Certificate is invalid on this endpoint',
    failure: 'certificate-not-accepted',
    retryable: false,
    hint: 'not active in this account and region',
  },
  {
    status: 404,
    text: 'Role alias does not exist',
    failure: 'alias-missing',
    retryable: false,
    hint: 'create-role-alias --role-alias the-alias',
  },
  {
    status: 400,
    text: 'Unable to assume the role, or the role to assume does not exist',
    failure: 'role-not-assumable',
    retryable: false,
    hint: 'trusts credentials.iot.amazonaws.com',
  },
  {
    status: 400,
    text: 'The requested CredentialDurationSeconds exceeds the MaxSessionDuration set for the role',
    failure: 'duration-too-long',
    retryable: false,
    hint: 'lower credentialDurationSeconds',
  },
  {
    status: 404,
    text: 'Not Found',
    failure: 'wrong-endpoint',
    retryable: false,
    hint: 'describe-endpoint --endpoint-type iot:CredentialProvider',
  },
  { status: 429, text: '', failure: 'throttled', retryable: true, hint: 'keeps trying' },
  { status: 500, text: 'Internal', failure: 'server', retryable: true, hint: 'keeps trying' },
  { status: 503, text: '', failure: 'server', retryable: true, hint: 'keeps trying' },
  { status: 403, text: 'something new', failure: 'policy-denies', retryable: false, hint: 'AssumeRoleWithCertificate' },
  { status: 302, text: '', failure: 'bad-answer', retryable: true, hint: 'is not the AWS IoT credentials provider' },
]

describe('refusals', () => {
  test.each(table)('$status "$text" means $failure', ({ status, text, failure, retryable, hint }) => {
    const body = JSON.stringify({ message: text, traceId: 'f1a2' })
    const error = credentialsRefused({ status, errorType: '', body }, request)
    expect(error).toMatchObject({ name: 'CredentialsError', failure, status, retryable })
    expect(error.hint).toContain(hint)
    expect(error.message).toBe(`c1.example.com gave no credentials: HTTP ${status}${text === '' ? '' : `, ${text}`}`)
  })

  test.each([400, 403, 503])('%d of a throttling type means throttled', (status) => {
    const error = credentialsRefused({ status, errorType: 'ThrottlingException:', body: '{}' }, request)
    expect(error).toMatchObject({ failure: 'throttled', retryable: true })
  })

  test('shows the beginning of an answer that is not JSON on one line', () => {
    const body = `<html>\r\n<body>captive portal${'!'.repeat(10_000)}`
    const { message } = credentialsRefused({ status: 200, errorType: '', body }, request)
    expect(message).toContain('captive portal')
    expect(message.length).toBeLessThan(250)
    expect(message).not.toMatch(/\p{C}/u)
  })

  test('cuts a message that is too long', () => {
    const body = JSON.stringify({ message: 'x'.repeat(100_000) })
    expect(credentialsRefused({ status: 400, errorType: '', body }, request).message.length).toBeLessThan(400)
  })
})

describe('failures of the connection', () => {
  test.each(['ECONNREFUSED', 'ECONNRESET', 'ENOTFOUND', 'ETIMEDOUT', 'EHOSTUNREACH', 'EAI_AGAIN', 'EPROTO'])(
    '%s means network',
    (code) => {
      const error = credentialsUnreachable(Object.assign(new Error('failed'), { code }), request)
      expect(error).toMatchObject({ failure: 'network', retryable: true })
      expect(error).toHaveProperty('hint', expect.stringContaining('c1.example.com on TCP 443'))
    },
  )

  test.each([
    'CERT_HAS_EXPIRED',
    'CERT_NOT_YET_VALID',
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
    'SELF_SIGNED_CERT_IN_CHAIN',
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'ERR_TLS_CERT_ALTNAME_INVALID',
    'INVALID_PURPOSE',
  ])('%s means an untrusted server', (code) => {
    const error = credentialsUnreachable(Object.assign(new Error('failed'), { code }), request)
    expect(error).toMatchObject({ failure: 'untrusted-server', retryable: true })
    expect(error).toHaveProperty('hint', expect.stringContaining('identity.rootCa'))
  })

  test('lets errors of ours and aborts pass unchanged', () => {
    for (const error of [
      new AgentError('ours'),
      new CredentialsError('server', request, { text: 'HTTP 500' }),
      AbortSignal.abort().reason,
      'thrown text',
    ]) {
      expect(credentialsUnreachable(error, request)).toBe(error)
    }
  })
})
