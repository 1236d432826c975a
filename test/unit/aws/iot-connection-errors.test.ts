import { expect, test } from 'vitest'

import { connectionError, ConnectionRefusedError, outsideDates } from '../../../agent/aws/iot-connection-errors.ts'

const context = { endpoint: 'iot.example:8883', clientId: 'dock-1', clockOffsetMs: 0 }

test('does not say of a name that has no address left that it cannot be resolved: perhaps nothing answered there', () => {
  const error = connectionError({ errorName: 'AWS_IO_DNS_QUERY_FAILED', message: 'A query failed' }, context)
  expect(error.message).toBe(
    'iot.example:8883: there is no address: the name cannot be resolved, or what it stands for took no connection lately (AWS_IO_DNS_QUERY_FAILED)',
  )
  expect(error.hint).toContain('endpoints.mqtt, its port too')
})

test('says that a connection was refused, and where', () => {
  const fault = { errorName: 'AWS_IO_SOCKET_CONNECTION_REFUSED', message: 'socket connection refused.' }
  const error = connectionError(fault, context)
  expect(error.message).toMatch(/^iot\.example:8883: nothing takes connections there /)
  expect(error.hint).toContain('check endpoints.mqtt')
})

test('says of a connection that was closed in the handshake that the certificate may be revoked', () => {
  const fault = { errorName: 'AWS_IO_SOCKET_CLOSED', message: 'aws-c-io: AWS_IO_SOCKET_CLOSED, socket is closed.' }
  const error = connectionError(fault, { endpoint: 'a1.example', clientId: 'dock-1', clockOffsetMs: 0 })
  expect(error.message).toBe('a1.example: the connection was closed from the other side (AWS_IO_SOCKET_CLOSED)')
  expect(error.hint).toContain('see that the certificate is active')
})

test.each(['AWS_IO_TLS_NEGOTIATION_TIMEOUT', 'AWS_IO_SOCKET_TIMEOUT'])('takes %s for no refusal', (errorName) => {
  const error = connectionError({ errorName, message: 'timed out' }, context)
  expect(error).not.toBeInstanceOf(ConnectionRefusedError)
  expect(error.message).toContain('the server does not answer in time')
})

test('takes TLS that failed for no refusal, and names clock, NTP and the way to have it set where the clock is off', () => {
  const fault = { errorName: 'AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE', message: '' }
  const failed = connectionError(fault, context)
  expect(failed).not.toBeInstanceOf(ConnectionRefusedError)
  expect(failed).toMatchObject({ hint: expect.stringContaining('identity.rootCa') as string })
  const off = connectionError(fault, { ...context, clockOffsetMs: -2 * 3_600_000 })
  expect(off).toMatchObject({
    message:
      'iot.example:8883: TLS failed (AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE) while the system clock is 2 hours fast',
    hint: expect.stringMatching(/NTP.*allowed\/set-clock/) as string,
  })
})

test('says of which dates the server is, where only those tell that the clock is off', () => {
  const outside = { notBeforeMs: Date.UTC(2020, 0, 1), notAfterMs: Date.UTC(2020, 11, 31) }
  const error = outsideDates(context, outside)
  expect(error.message).toMatch(
    /\(CERT_HAS_EXPIRED\): .* valid from 2020-01-01 to 2020-12-31, and the system clock says /,
  )
  expect(error.hint).toContain('NTP')
  expect(error.knowing(7_200_000).message).toContain('the system clock is 2 hours slow')
})

test('says of a client that was too quick that the next try goes through', () => {
  const fault = { errorName: 'AWS_ERROR_MQTT5_CONNACK_CONNECTION_REFUSED', message: '', reasonCode: 0x97 }
  expect(connectionError(fault, context).hint).toContain('once a second')
})
