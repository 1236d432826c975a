import { X509Certificate } from 'node:crypto'

import { issueDeviceCertificate, type Authority, type KeyAndCertificate } from './certificates.ts'
import { Eventually } from './eventually.ts'
import type { PolicyDocument } from './iam/policy-document.ts'
import type { Change } from './roles.ts'

export type CertificateStatus = 'ACTIVE' | 'INACTIVE' | 'REVOKED'

export interface DeviceCertificate extends KeyAndCertificate {
  /** The SHA-256 of the certificate in hex, as AWS IoT names certificates. */
  readonly certificateId: string
}

export interface Appliance extends DeviceCertificate {
  readonly thingName: string
}

export interface ApplianceOptions {
  readonly thingName: string
  readonly thingTypeName?: string
  /** The one role alias that the appliance's IoT policy allows. */
  readonly alias?: string
}

/** A certificate as the cloud registered it. */
export interface RegisteredCertificate {
  readonly certificateId: string
  readonly arn: string
  readonly status: CertificateStatus
  readonly notAfterMs: number
  readonly policy: PolicyDocument | undefined
}

export interface AppliancesOptions {
  readonly account: string
  readonly region: string
  readonly now: () => number
  readonly authority: Authority
  /** The IoT policy that a new appliance gets. */
  readonly defaultPolicy: (alias: string | undefined) => Promise<PolicyDocument>
}

interface CertificateEntry {
  readonly notAfterMs: number
  readonly status: Eventually<CertificateStatus>
  readonly policy: Eventually<PolicyDocument | undefined>
  readonly things: Map<string, Eventually<boolean>>
}

/** Things, certificates and IoT policies. A certificate is known by its bytes: the subject is the same for all. */
export class Appliances {
  readonly #options: AppliancesOptions
  readonly #certificates = new Map<string, CertificateEntry>()
  readonly #thingTypes = new Map<string, string | undefined>()

  constructor(options: AppliancesOptions) {
    this.#options = options
  }

  /** Registers a thing with an active certificate of its own, attached, with the default IoT policy. */
  async createAppliance({ thingName, thingTypeName, alias }: ApplianceOptions): Promise<Appliance> {
    this.createThing(thingName, thingTypeName)
    const certificate = await this.createCertificate()
    this.attach(thingName, certificate.certificateId)
    this.setIotPolicy(certificate.certificateId, await this.#options.defaultPolicy(alias))
    return { thingName, ...certificate }
  }

  createThing(thingName: string, thingTypeName?: string): void {
    if (!/^[A-Za-z0-9:_-]{1,128}$/.test(thingName)) throw new RangeError(`"${thingName}" is no name for a thing`)
    this.#thingTypes.set(thingName, thingTypeName)
  }

  hasThing(thingName: string): boolean {
    return this.#thingTypes.has(thingName)
  }

  /** Registers an active certificate that belongs to no thing and has no policy. */
  async createCertificate(): Promise<DeviceCertificate> {
    const issued = await issueDeviceCertificate(this.#options.authority, this.#options.now())
    const certificate = new X509Certificate(issued.certificatePem)
    const certificateId = certificateIdOf(certificate)
    this.#certificates.set(certificateId, {
      notAfterMs: certificate.validToDate.getTime(),
      status: new Eventually<CertificateStatus>(this.#options.now, 'ACTIVE'),
      policy: new Eventually<PolicyDocument | undefined>(this.#options.now, undefined),
      things: new Map(),
    })
    return { ...issued, certificateId }
  }

  attach(thingName: string, certificateId: string, { visibleAfterMs = 0 }: Change = {}): void {
    if (!this.#thingTypes.has(thingName)) throw new Error(`there is no thing "${thingName}"`)
    const { things } = this.#entry(certificateId)
    const attached = things.get(thingName) ?? new Eventually(this.#options.now, false)
    attached.set(true, visibleAfterMs)
    things.set(thingName, attached)
  }

  detach(thingName: string, certificateId: string, { visibleAfterMs = 0 }: Change = {}): void {
    this.#entry(certificateId).things.get(thingName)?.set(false, visibleAfterMs)
  }

  /** Activates, deactivates or revokes a certificate. */
  setCertificateStatus(certificateId: string, status: CertificateStatus, { visibleAfterMs = 0 }: Change = {}): void {
    this.#entry(certificateId).status.set(status, visibleAfterMs)
  }

  /** Replaces the IoT policy of a certificate; undefined detaches it. */
  setIotPolicy(certificateId: string, policy: PolicyDocument | undefined, { visibleAfterMs = 0 }: Change = {}): void {
    this.#entry(certificateId).policy.set(policy, visibleAfterMs)
  }

  /** Attaches one IoT policy more to a certificate. */
  addIotPolicy(certificateId: string, { version, statements }: PolicyDocument): void {
    const { policy } = this.#entry(certificateId)
    policy.set({ version, statements: [...(policy.get()?.statements ?? []), ...statements] }, 0)
  }

  /** The certificate of a connection, by its SHA-256; undefined when this account has never seen it. */
  find(certificate: X509Certificate): RegisteredCertificate | undefined {
    return this.findById(certificateIdOf(certificate))
  }

  /** As `find`, for who has taken the SHA-256 already. */
  findById(certificateId: string): RegisteredCertificate | undefined {
    const entry = this.#certificates.get(certificateId)
    if (entry === undefined) return undefined
    return {
      certificateId,
      arn: `arn:aws:iot:${this.#options.region}:${this.#options.account}:cert/${certificateId}`,
      status: entry.status.get(),
      notAfterMs: entry.notAfterMs,
      policy: entry.policy.get(),
    }
  }

  isAttached(thingName: string, certificateId: string): boolean {
    return this.#certificates.get(certificateId)?.things.get(thingName)?.get() ?? false
  }

  thingTypeName(thingName: string): string | undefined {
    return this.#thingTypes.get(thingName)
  }

  #entry(certificateId: string): CertificateEntry {
    const entry = this.#certificates.get(certificateId)
    if (entry === undefined) throw new Error(`there is no certificate ${certificateId}`)
    return entry
  }
}

/** The SHA-256 of a certificate in hex. */
export function certificateIdOf(certificate: X509Certificate): string {
  return certificate.fingerprint256.replaceAll(':', '').toLowerCase()
}
