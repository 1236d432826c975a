import { beforeAll, expect, test } from 'vitest'

import { explainTls, type ConnectionCheckOptions } from '../../../agent/aws/connection-check.ts'
import { connectionError, ConnectionRefusedError, TlsFailedError } from '../../../agent/aws/iot-connection-errors.ts'
import { UntrustedServerError } from '../../../agent/aws/untrusted-server.ts'
import { authorityExtensions, makeCertificate, type TestCertificate } from '../../support/certificates.ts'

const made: TestCertificate[] = []

beforeAll(async () => {
  made.push(await makeCertificate({ commonName: 'device', extensions: authorityExtensions() }))
})

/** What a look that fails so makes of TLS that failed in the CRT. */
async function explained(looked: Error, clockOffsetMs = 0): Promise<Error> {
  const failed = connectionError(
    { errorName: 'AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE', message: '' },
    { endpoint: 'iot.example', clientId: 'dock-1', clockOffsetMs },
  )
  if (!(failed instanceof TlsFailedError)) throw failed
  const dialer: ConnectionCheckOptions['dialer'] = {
    secure: () => Promise.reject(looked),
    proxyFor: () => undefined,
    outdatedProxy: undefined,
  }
  const [{ pem, privateKey } = { pem: '', privateKey: '' }] = made
  const loadIdentity = (): Promise<{ certificate: string; privateKey: string; roots: string }> =>
    Promise.resolve({ certificate: pem, privateKey, roots: pem })
  const way = { dialer, loadIdentity, endpoint: 'iot.example', defaultPort: 8883, clockOffsetMs: () => clockOffsetMs }
  return await explainTls(failed, { ...way, refusedHint: 'see that the claim is active' })
}

test('says of a server that is not trusted just that, and not that it refuses the certificate', async () => {
  const untrusted = new UntrustedServerError('iot.example', 'its root is not known')
  expect(await explained(untrusted)).toBe(untrusted)
})

test('looks no further where the clock is known to be off', async () => {
  const error = await explained(new UntrustedServerError('iot.example', 'its root is not known'), 86_400_000)
  expect(error.message).toContain('the system clock is 24 hours slow')
})

test('says that the certificate is refused where a look finds nothing wrong with the server', async () => {
  const refused = await explained(new Error('tlsv1 alert certificate revoked'))
  expect(refused).toBeInstanceOf(ConnectionRefusedError)
  expect(refused).toMatchObject({ hint: 'see that the claim is active' })
})
