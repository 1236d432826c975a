import { X509Certificate } from 'node:crypto'

import type * as x509 from '@peculiar/x509'

import { certifyDeviceKey, issueDeviceCertificate, type Authority, type KeyAndCertificate } from './certificates.ts'
import { Eventually } from './eventually.ts'
import type { PolicyDocument } from './iam/policy-document.ts'
import type { Change } from './roles.ts'

/** Only fleet provisioning leaves one pending. */
export type CertificateStatus = 'ACTIVE' | 'INACTIVE' | 'REVOKED' | 'PENDING_ACTIVATION'

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

/** Names and values, as the attributes of a thing are. */
export type ThingAttributes = Readonly<Record<string, string>>

interface Thing {
  readonly thingTypeName: string | undefined
  readonly attributes: ThingAttributes
}

/** A certificate as a list of the account shows it, at once and not eventually. */
export interface ListedCertificate {
  readonly certificateId: string
  readonly status: CertificateStatus
  readonly things: readonly string[]
}

/** Things, certificates and IoT policies. A certificate is known by its bytes: the subject is the same for all. */
export class Appliances {
  readonly #options: AppliancesOptions
  readonly #certificates = new Map<string, CertificateEntry>()
  readonly #things = new Map<string, Thing>()

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

  createThing(thingName: string, thingTypeName?: string, attributes: ThingAttributes = {}): void {
    if (!isThingName(thingName)) throw new RangeError(`"${thingName}" is no name for a thing`)
    this.#things.set(thingName, { thingTypeName, attributes })
  }

  hasThing(thingName: string): boolean {
    return this.#things.has(thingName)
  }

  /** Undefined where there is no such thing. */
  thingAttributes(thingName: string): ThingAttributes | undefined {
    return this.#things.get(thingName)?.attributes
  }

  /** Registers an active certificate that belongs to no thing and has no policy. */
  async createCertificate(): Promise<DeviceCertificate> {
    const issued = await issueDeviceCertificate(this.#options.authority, this.#options.now())
    return { ...issued, certificateId: this.#register(issued.certificatePem, 'ACTIVE') }
  }

  /** Issues a certificate for a key that the device keeps; it is good for nothing before it is activated. */
  async createPendingCertificate(publicKey: x509.PublicKey): Promise<Omit<DeviceCertificate, 'privateKeyPem'>> {
    const { authority, now } = this.#options
    const certificatePem = await certifyDeviceKey(authority, { publicKey, nowMs: now() })
    return { certificatePem, certificateId: this.#register(certificatePem, 'PENDING_ACTIVATION') }
  }

  /** Forgets a certificate, as if the account had never had it. */
  deleteCertificate(certificateId: string): void {
    this.#certificates.delete(certificateId)
  }

  attach(thingName: string, certificateId: string, { visibleAfterMs = 0 }: Change = {}): void {
    if (!this.#things.has(thingName)) throw new Error(`there is no thing "${thingName}"`)
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
  addIotPolicy(certificateId: string, added: PolicyDocument): void {
    const { policy } = this.#entry(certificateId)
    const attached = policy.get()
    policy.set(joinPolicies(attached === undefined ? [added] : [attached, added]), 0)
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

  /** All certificates, oldest first, with the things that they are attached to. */
  list(): readonly ListedCertificate[] {
    return [...this.#certificates].map(([certificateId, { status, things }]) => ({
      certificateId,
      status: status.newest(),
      things: [...things].filter(([, attached]) => attached.newest()).map(([thingName]) => thingName),
    }))
  }

  /** The things that a certificate is attached to. */
  thingsOf(certificateId: string): readonly string[] {
    const things = this.#certificates.get(certificateId)?.things ?? new Map<string, Eventually<boolean>>()
    return [...things].filter(([, attached]) => attached.get()).map(([thingName]) => thingName)
  }

  thingTypeName(thingName: string): string | undefined {
    return this.#things.get(thingName)?.thingTypeName
  }

  #register(certificatePem: string, status: CertificateStatus): string {
    const certificate = new X509Certificate(certificatePem)
    const certificateId = certificateIdOf(certificate)
    this.#certificates.set(certificateId, {
      notAfterMs: certificate.validToDate.getTime(),
      status: new Eventually<CertificateStatus>(this.#options.now, status),
      policy: new Eventually<PolicyDocument | undefined>(this.#options.now, undefined),
      things: new Map(),
    })
    return certificateId
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

/** The names that AWS IoT has for things. */
export function isThingName(name: string): boolean {
  return /^[A-Za-z0-9:_-]{1,128}$/.test(name)
}

/** What several IoT policies on one certificate come to. */
export function joinPolicies(policies: readonly PolicyDocument[]): PolicyDocument {
  return { version: '2012-10-17', statements: policies.flatMap(({ statements }) => statements) }
}
