import { createHash } from 'node:crypto'

import type {
  ConnectAttempt,
  FleetProvisioning,
  IdentityProof,
  IssuedCertificate,
  KeyPair,
  RegisteredThing,
  Registration,
} from '../../agent/identity/fleet-provisioning.ts'
import { AgentError } from '../../agent/lib/errors.ts'
import { authorityExtensions, certificateFor, makeCertificate, type TestCertificate } from './certificates.ts'

interface FakeCertificate {
  readonly certificate: string
  token: string | undefined
  thing: string | undefined
}

export class FakeRejection extends AgentError {
  override readonly name = 'FakeRejection'
  readonly statusCode: number
  readonly errorCode: string

  constructor(statusCode: number, errorCode: string) {
    super(`${statusCode} ${errorCode}`, { retryable: statusCode >= 500 })
    this.statusCode = statusCode
    this.errorCode = errorCode
  }
}

/** Fleet provisioning and what follows it, in memory: it takes effect, and then its answer may get lost. */
export class FakeFleetProvisioning {
  /** Requests that took effect or were refused, in order. */
  readonly calls: string[] = []
  readonly certificates = new Map<string, FakeCertificate>()
  /** The next ones are refused with these, in order; each has no effect. */
  readonly rejections: FakeRejection[] = []
  /** What is answered in the place of the next registrations, which take effect. */
  readonly failures: FakeRejection[] = []
  /** Requests that take effect and are not answered, by name. */
  readonly lostAnswers = new Set<string>()
  /** How many attempts to use a registered certificate are refused before one is taken. */
  refusedAttempts = 0
  credentialsError: AgentError | undefined
  /** Called before RegisterThing takes effect. */
  onRegister: (() => void) | undefined
  /** What the template makes of the parameters. */
  thingNameOf = (parameters: Registration['parameters']): string =>
    parameters['ThingName'] ?? `panorama_${parameters['SerialNumber'] ?? ''}`
  isOffline = false
  open = 0
  readonly #root: TestCertificate

  private constructor(root: TestCertificate) {
    this.#root = root
  }

  static async create(): Promise<FakeFleetProvisioning> {
    return new FakeFleetProvisioning(await makeCertificate({ commonName: 'root', extensions: authorityExtensions() }))
  }

  /** The certificates of things. */
  registered(): readonly string[] {
    return [...this.certificates].filter(([, { thing }]) => thing !== undefined).map(([id]) => id)
  }

  expireTokens(): void {
    for (const each of this.certificates.values()) each.token = undefined
  }

  readonly connect = async (clientId: string): Promise<FleetProvisioning> => {
    this.#reach()
    this.calls.push(`connect ${clientId}`)
    this.open += 1
    return await Promise.resolve({
      createCertificateFromCsr: (csr) => this.#issue(csr),
      registerThing: (registration) => this.#register(registration),
      [Symbol.asyncDispose]: () => {
        this.open -= 1
        return Promise.resolve()
      },
    })
  }

  readonly proof: IdentityProof = {
    connect: async (pair, thingName) => await Promise.resolve(this.#attempt(pair, thingName)),
    getCredentials: async () => {
      this.#reach()
      if (this.credentialsError !== undefined) throw this.credentialsError
      await Promise.resolve()
    },
  }

  async #issue(csr: string): Promise<IssuedCertificate> {
    this.#begin('create')
    const { pem: certificate, der } = await certificateFor(csr, this.#root)
    const certificateId = createHash('sha256').update(der).digest('hex')
    const token = `token-${this.certificates.size}`
    this.certificates.set(certificateId, { certificate, token, thing: undefined })
    this.#end('create')
    return { certificateId, certificate, token }
  }

  async #register({ token, parameters }: Registration): Promise<RegisteredThing> {
    this.#begin('register')
    this.onRegister?.()
    const found = [...this.certificates.values()].find((each) => each.token === token)
    if (found === undefined) throw new FakeRejection(400, 'InvalidCertificateOwnershipToken')
    found.token = undefined
    found.thing = this.thingNameOf(parameters)
    this.#end('register')
    const failure = this.failures.shift()
    if (failure !== undefined) throw failure
    return await Promise.resolve({ thingName: found.thing, deviceConfiguration: {} })
  }

  #attempt({ certificate }: KeyPair, thingName: string): ConnectAttempt {
    this.#reach()
    const found = [...this.certificates.values()].find((each) => each.certificate === certificate)
    const isKnown = found?.thing === thingName
    if (isKnown && this.refusedAttempts === 0) return { kind: 'connected' }
    if (isKnown) this.refusedAttempts -= 1
    return { kind: 'refused', error: new AgentError('not authorized', { retryable: true }) }
  }

  #begin(name: string): void {
    this.#reach()
    this.calls.push(name)
    const rejection = this.rejections.shift()
    if (rejection !== undefined) throw rejection
  }

  #end(name: string): void {
    if (this.lostAnswers.delete(name)) throw new AgentError(`${name} got no answer`, { retryable: true })
  }

  #reach(): void {
    if (this.isOffline) throw new AgentError('there is no network', { retryable: true })
  }
}
