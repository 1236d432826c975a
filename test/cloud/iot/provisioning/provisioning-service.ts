import { randomUUID } from 'node:crypto'

import { z } from 'zod'

import { sleep } from '../../../../agent/lib/sleep.ts'
import type { CloudFrame } from '../../cloud-frame.ts'
import type { DirectAnswer, DirectCaller, DirectRequest, DirectService } from '../direct-service.ts'
import type { ProvisioningAction } from './provisioning-admin.ts'
import type { ProvisioningFaults } from './provisioning-faults.ts'
import { invalidRequest, ProvisioningRejection } from './provisioning-rejection.ts'
import type { Provisioning } from './provisioning.ts'

export interface ProvisioningServiceOptions {
  readonly account: Pick<CloudFrame, 'now' | 'faults' | 'requests' | 'quotas'>
  readonly provisioning: Provisioning
  readonly faults: ProvisioningFaults
}

interface Operation {
  readonly action: 'CreateCertificateFromCsr' | 'RegisterThing'
  readonly fault: ProvisioningAction
  readonly templateName: string
}

interface Outcome {
  readonly status: number
  readonly body: unknown
}

const createRequest = z.strictObject({ certificateSigningRequest: z.string() })
const registerRequest = z.strictObject({
  certificateOwnershipToken: z.string().default(''),
  parameters: z.record(z.string(), z.string()).default({}),
})
const registerTopic = /^\$aws\/provisioning-templates\/([^/]+)\/provision\/json$/
const serviceName = 'iot-provisioning'

/**
 * The MQTT API of fleet provisioning, in JSON ("Device provisioning MQTT API"): CreateCertificateFromCsr and RegisterThing.
 * Faults hit a request by the name `iot-provisioning` and the API's action, as those of other services do.
 */
export class ProvisioningService implements DirectService, AsyncDisposable {
  readonly #options: ProvisioningServiceOptions
  readonly #answering = new Set<Promise<unknown>>()
  readonly #closing = new AbortController()

  constructor(options: ProvisioningServiceOptions) {
    this.#options = options
  }

  readonly isRequest = (topic: string): boolean => operationOf(topic) !== undefined

  readonly answer = async (request: DirectRequest): Promise<DirectAnswer | undefined> => {
    const answering = this.#serve(request)
    this.#answering.add(answering)
    try {
      return await answering
    } catch (error) {
      if (this.#closing.signal.aborted) return undefined
      throw error
    } finally {
      this.#answering.delete(answering)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort()
    await Promise.allSettled(this.#answering)
  }

  async #serve({ topic, payload, caller }: DirectRequest): Promise<DirectAnswer | undefined> {
    const operation = operationOf(topic)
    if (operation === undefined) return undefined
    const { account, faults } = this.#options
    const hits = account.faults.takeForRequest(serviceName, operation.action)
    for (const fault of hits) if (fault.kind === 'latency') await sleep(fault.delayMs, this.#closing.signal)
    const swallowed = hits.some(({ kind }) => kind === 'stall' || kind === 'reset')
    const error = hits.find((fault) => fault.kind === 'error')
    const refusal =
      error && new ProvisioningRejection(error.status, error.code, error.message ?? `${error.code} on demand`)
    const outcome = swallowed ? undefined : await this.#outcome(operation, { payload, caller, refusal })
    const unanswered = outcome === undefined || (outcome.status === 200 && faults.takeDrop(operation.fault))
    const body = outcome === undefined || unanswered ? '' : JSON.stringify(outcome.body)
    account.requests.add({
      id: randomUUID(),
      service: serviceName,
      action: operation.action,
      atMs: account.now(),
      status: outcome?.status ?? 0,
      requestBytes: payload.length,
      responseBytes: body.length,
      host: 'localhost',
      path: topic,
      thingName: undefined,
      callerArn: undefined,
    })
    if (unanswered) return undefined
    return { topic: `${topic}/${outcome.status === 200 ? 'accepted' : 'rejected'}`, body: outcome.body }
  }

  async #outcome(
    operation: Operation,
    {
      payload,
      caller,
      refusal,
    }: Pick<DirectRequest, 'payload' | 'caller'> & { readonly refusal: ProvisioningRejection | undefined },
  ): Promise<Outcome> {
    try {
      if (refusal !== undefined) throw refusal
      this.#options.faults.refuse(operation.fault)
      if (!this.#options.account.quotas.take(serviceName, operation.action)) {
        throw new ProvisioningRejection(429, 'ThrottlingException', 'Rate exceeded')
      }
      return { status: 200, body: await this.#perform(operation, payload, caller) }
    } catch (error) {
      if (!(error instanceof ProvisioningRejection)) throw error
      const { statusCode, errorCode, message: errorMessage } = error
      return { status: statusCode, body: { statusCode, errorCode, errorMessage } }
    }
  }

  async #perform({ action, templateName }: Operation, payload: Buffer, caller: DirectCaller): Promise<unknown> {
    const { provisioning } = this.#options
    switch (action) {
      case 'CreateCertificateFromCsr': {
        const { certificateSigningRequest } = parse(createRequest, payload)
        return provisioning.createCertificate(certificateSigningRequest, caller)
      }
      case 'RegisterThing': {
        const { certificateOwnershipToken: token, parameters } = parse(registerRequest, payload)
        return provisioning.registerThing({ templateName, token, parameters, caller }, this.#closing.signal)
      }
    }
  }
}

function operationOf(topic: string): Operation | undefined {
  if (topic === '$aws/certificates/create-from-csr/json') {
    return { action: 'CreateCertificateFromCsr', fault: 'create-from-csr', templateName: '' }
  }
  const templateName = registerTopic.exec(topic)?.[1]
  return templateName === undefined ? undefined : { action: 'RegisterThing', fault: 'register-thing', templateName }
}

function parse<T extends z.ZodType>(schema: T, payload: Buffer): z.output<T> {
  const parsed = schema.safeParse(parseJson(payload))
  if (!parsed.success) throw invalidRequest(z.prettifyError(parsed.error))
  return parsed.data
}

function parseJson(payload: Buffer): unknown {
  try {
    return JSON.parse(payload.toString())
  } catch {
    throw invalidRequest('The payload is not JSON')
  }
}
