import type { RootAnswer, RootRequest, RootRequests } from '../../agent/root-requests/root-requests.ts'

/** A root that answers as it is told, and remembers what it was asked. */
export class FakeRootRequests implements RootRequests {
  readonly asked: RootRequest[] = []
  /** May throw. */
  answer: (signal: AbortSignal) => RootAnswer | Promise<RootAnswer> = () => ({ result: 'done', code: 'ok' })

  readonly request = async (request: RootRequest, signal: AbortSignal): Promise<RootAnswer> => {
    signal.throwIfAborted()
    this.asked.push(request)
    return await this.answer(signal)
  }
}
