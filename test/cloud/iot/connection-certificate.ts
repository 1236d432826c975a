import type { X509Certificate } from 'node:crypto'

import { certificateIdOf, type Appliances, type RegisteredCertificate } from '../appliances.ts'
import type { IotPrincipal } from './iot-policy.ts'

/** The certificate that a client showed, as the account has it at each moment: status, policy and things can change. */
export class ConnectionCertificate {
  readonly #certificateId: string
  readonly #appliances: Appliances
  readonly #now: () => number

  constructor(
    x509: X509Certificate,
    { appliances, now }: { readonly appliances: Appliances; readonly now: () => number },
  ) {
    this.#certificateId = certificateIdOf(x509)
    this.#appliances = appliances
    this.#now = now
  }

  /** Known to the account, active, and not expired. */
  get isGood(): boolean {
    const certificate = this.#appliances.findById(this.#certificateId)
    return certificate?.status === 'ACTIVE' && certificate.notAfterMs >= this.#now()
  }

  /** Who a client with this id is. Throws for a certificate that the account does not know. */
  principal(clientId: string): IotPrincipal {
    const certificate = this.#registered()
    const thingName = this.#appliances.isAttached(clientId, certificate.certificateId) ? clientId : undefined
    const thingTypeName = thingName === undefined ? undefined : this.#appliances.thingTypeName(thingName)
    return { certificate, clientId, thingName, thingTypeName }
  }

  #registered(): RegisteredCertificate {
    const certificate = this.#appliances.findById(this.#certificateId)
    if (certificate === undefined) throw new Error('the certificate is not registered')
    return certificate
  }
}
