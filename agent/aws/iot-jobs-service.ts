import { iotjobs } from 'aws-iot-device-sdk-v2'

import type { ExecutionKey, JobExecution, JobsService, JobUpdate, UpdateOutcome } from '../jobs/jobs-service.ts'
import { untilAborted, withDeadline } from '../lib/abort.ts'
import { AgentError, DeadlineError } from '../lib/errors.ts'
import type { IotConnection } from './iot-connection.ts'
import {
  codeOf,
  isPending,
  isSameExecution,
  oldestFirst,
  settledBy,
  toAgentError,
  toExecution,
} from './iot-jobs-answers.ts'

export interface IotJobsServiceOptions {
  readonly connection: IotConnection
  readonly thingName: string
  /** How long an answer is waited for. Default 15; less in tests. */
  readonly answerWithinSeconds?: number
}

const answerWithinSeconds = 15
const callWithinMs = 20_000
/** How long the first subscription to notifications is waited for; jobs are asked for all the same. */
const subscribedWithinMs = 5_000
/** get, {id}/get, {id}/update, start-next, of two jobs at once; of streams there is one. */
const maxRequestSubscriptions = 10
const maxStreams = 2
const next = '$next'

/** AWS IoT Jobs over MQTT (AWS IoT Core developer guide, "Jobs device MQTT API operations"). */
export class IotJobsService implements JobsService, Disposable {
  readonly #options: IotJobsServiceOptions
  readonly #listeners = new Set<(jobId?: string) => void>()
  readonly #connected: Disposable
  #client: iotjobs.IotJobsClientv2 | undefined
  #stream: ReturnType<iotjobs.IotJobsClientv2['createNextJobExecutionChangedStream']> | undefined
  /** Resolves when the stream is subscribed to, or is known not to be. */
  #answered = Promise.withResolvers<undefined>()
  #halted: unknown

  constructor(options: IotJobsServiceOptions) {
    this.#options = options
    this.#connected = options.connection.onConnected(() => {
      this.#changed()
    })
  }

  [Symbol.dispose](): void {
    this.#connected[Symbol.dispose]()
    this.#listeners.clear()
    this.#close()
  }

  readonly onChanged = (listener: (jobId?: string) => void): Disposable => {
    this.#listeners.add(listener)
    return {
      [Symbol.dispose]: () => {
        this.#listeners.delete(listener)
      },
    }
  }

  readonly next = async (
    signal: AbortSignal,
    without: readonly ExecutionKey[] = [],
  ): Promise<JobExecution | undefined> => {
    const { thingName } = this.#options
    await this.#untilSubscribed(signal)
    const found = await this.#describe({ thingName, jobId: next }, signal)
    const isWanted = found === undefined || !without.some((each) => isSameExecution(each, found))
    return isWanted ? found : await this.#nextBut(without, signal)
  }

  /** The service says which are pending without their documents, each kind in no order that it promises. */
  async #nextBut(without: readonly ExecutionKey[], signal: AbortSignal): Promise<JobExecution | undefined> {
    const { thingName } = this.#options
    const request = { thingName }
    const { inProgressJobs = [], queuedJobs = [] } = await this.#call(
      'GetPendingJobExecutions',
      { request, signal },
      async (client) => client.getPendingJobExecutions(request),
    )
    const [key] = [...oldestFirst(inProgressJobs), ...oldestFirst(queuedJobs)].filter(
      (each) => !without.some((other) => isSameExecution(other, each)),
    )
    if (key === undefined) return undefined
    const { jobId, executionNumber } = key
    return await this.#describe({ thingName, jobId, executionNumber }, signal)
  }

  async #describe(
    request: iotjobs.model.DescribeJobExecutionRequest,
    signal: AbortSignal,
  ): Promise<JobExecution | undefined> {
    const { execution } = await this.#call('DescribeJobExecution', { request, signal }, async (client) =>
      client.describeJobExecution(request),
    )
    return execution === undefined ? undefined : toExecution(execution)
  }

  readonly isOpen = async (
    { jobId, executionNumber, queuedAt }: ExecutionKey,
    signal: AbortSignal,
  ): Promise<boolean> => {
    const { thingName } = this.#options
    try {
      const found = await this.#describe({ thingName, jobId, executionNumber }, signal)
      if (found === undefined) return false
      return found.queuedAt === queuedAt && isPending(found.status)
    } catch (error) {
      const code = codeOf(error)
      // of one that has ended, the service says nothing more
      if (code === iotjobs.model.RejectedErrorCode.TERMINAL_STATE_REACHED) return false
      if (code === iotjobs.model.RejectedErrorCode.RESOURCE_NOT_FOUND) return false
      throw error
    }
  }

  readonly update = async (update: JobUpdate, signal: AbortSignal): Promise<UpdateOutcome> => {
    try {
      await this.#update(update, signal)
      return { kind: 'accepted' }
    } catch (error) {
      return settledBy(error)
    }
  }

  /** Details that the service does not take after all must not keep a job from its end. */
  async #update(update: JobUpdate, signal: AbortSignal): Promise<void> {
    try {
      await this.#updateOnce(update, signal)
    } catch (error) {
      if (codeOf(error) !== iotjobs.model.RejectedErrorCode.INVALID_REQUEST || Object.keys(update.details).length === 0)
        throw error
      await this.#updateOnce({ ...update, details: {} }, signal)
    }
  }

  async #updateOnce({ execution, status, details, stepTimeoutMinutes }: JobUpdate, signal: AbortSignal): Promise<void> {
    const { thingName } = this.#options
    const { jobId, executionNumber } = execution
    const request = {
      thingName,
      jobId,
      executionNumber,
      status: iotjobs.model.JobStatus[status],
      ...(Object.keys(details).length === 0 ? {} : { statusDetails: { ...details } }),
      ...(stepTimeoutMinutes === undefined ? {} : { stepTimeoutInMinutes: stepTimeoutMinutes }),
    }
    await this.#call('UpdateJobExecution', { request, signal }, async (client) => client.updateJobExecution(request))
  }

  async #call<T>(
    operation: string,
    { request, signal }: { readonly request: object; readonly signal: AbortSignal },
    ask: (client: iotjobs.IotJobsClientv2) => Promise<T>,
  ): Promise<T> {
    const client = await this.#open()
    const { connection } = this.#options
    await connection.expectConnected(signal)
    return await withDeadline({ signal, withinMs: callWithinMs, what: operation }, async () => {
      try {
        connection.countRequest(operation, request)
        return await ask(client)
      } catch (error) {
        throw toAgentError(operation, error)
      }
    })
  }

  /** A stream that the service has ended, such as for want of a permission, is opened anew with the next request. */
  async #open(): Promise<iotjobs.IotJobsClientv2> {
    const protocol = await this.#options.connection.client()
    if (this.#halted !== undefined) {
      const cause = this.#halted
      this.#close()
      throw new AgentError('the notifications about jobs cannot be subscribed to', {
        retryable: true,
        hint: `allow iot:Subscribe and iot:Receive on $aws/things/${this.#options.thingName}/jobs/* as config/cloud/iot-device-policy.json does`,
        cause,
      })
    }
    this.#client ??= this.#create(protocol)
    return this.#client
  }

  /** A job that comes between the answer and the subscription would be heard of by nobody. */
  async #untilSubscribed(signal: AbortSignal): Promise<void> {
    await this.#open()
    await this.#options.connection.expectConnected(signal)
    const deadline = { signal, withinMs: subscribedWithinMs, what: 'the subscription to notifications' }
    const answered = withDeadline(deadline, async (inner) => {
      await untilAborted(this.#answered.promise, inner)
    })
    await answered.catch((error: unknown) => {
      if (!(error instanceof DeadlineError)) throw error
    })
  }

  #create(protocol: Parameters<typeof iotjobs.IotJobsClientv2.newFromMqtt5>[0]): iotjobs.IotJobsClientv2 {
    const client = iotjobs.IotJobsClientv2.newFromMqtt5(protocol, {
      maxRequestResponseSubscriptions: maxRequestSubscriptions,
      maxStreamingSubscriptions: maxStreams,
      operationTimeoutInSeconds: this.#options.answerWithinSeconds ?? answerWithinSeconds,
    })
    const stream = client.createNextJobExecutionChangedStream({ thingName: this.#options.thingName })
    stream.on('incomingPublish', ({ message }) => {
      this.#changed(message.execution?.jobId)
    })
    stream.on('subscriptionStatus', ({ type, error }) => {
      const status: number = type
      if (status === subscriptionStatus.halted) this.#halted = error ?? new AgentError('it was ended')
      if (status === subscriptionStatus.lost) return
      this.#answered.resolve(undefined)
      this.#changed() // what came before it was not heard; of one that has ended, whoever asks next is told
    })
    stream.open()
    this.#stream = stream
    return client
  }

  #changed(jobId?: string): void {
    for (const listener of this.#listeners) listener(jobId)
  }

  #close(): void {
    // the native side holds on to the stream for good, and by its listeners it would to all of a session
    this.#stream?.removeAllListeners()
    this.#stream?.close()
    this.#stream = undefined
    this.#client?.close()
    this.#client = undefined
    this.#answered = Promise.withResolvers()
    this.#halted = undefined
  }
}

/** `SubscriptionStatusEventType` of aws-crt, which the device SDK does not export. */
const subscriptionStatus = { lost: 1, halted: 2 } as const
