import fc from 'fast-check'
import { expect, it } from 'vitest'

import type { Verdict } from '../../../../agent/artifacts/activation/activation-state.ts'
import { FakeArtifactSource } from '../../../support/fake-artifact-source.ts'
import { installedFiles, startWorker, tempFolder, type RunningWorker, type TempFolder } from '../artifact-fixture.ts'

type Step =
  | { readonly do: 'publish'; readonly content: string }
  | { readonly do: 'judge'; readonly content: string; readonly healthy: boolean }
  | { readonly do: 'restart'; readonly hook: string }
  | { readonly do: 'roll back' | 'stop' }
/** `meanwhile` comes while the hook is asked, if it is. */
type Command = Step | { readonly do: 'pass'; readonly meanwhile: Step }

const content = fc.constantFrom('one', 'two', 'three')
const step: fc.Arbitrary<Step> = fc.oneof(
  { arbitrary: fc.record({ do: fc.constant('publish' as const), content }), weight: 3 },
  fc.record({ do: fc.constant('judge' as const), content, healthy: fc.boolean() }),
  fc.record({ do: fc.constantFrom('roll back' as const, 'stop' as const) }),
)
const command: fc.Arbitrary<Command> = fc.oneof(
  { arbitrary: step, weight: 3 },
  fc.record({ do: fc.constant('restart' as const), hook: fc.constantFrom('check', 'other') }),
  { arbitrary: fc.record({ do: fc.constant('pass' as const), meanwhile: step }), weight: 3 },
)

it('names a whole release, asks of none twice, and stays where an operator went, whatever comes in between', async () => {
  const runs = fc.asyncProperty(fc.array(command, { minLength: 8, maxLength: 16 }), async (commands) => {
    await using site = new Site(await tempFolder())
    for (const each of commands) await site.play(each)
    await site.endWell()
  })
  await fc.assert(runs, { numRuns: 8 })
}, 60_000)

/** An appliance whose releases have one file, what people do with it, and what has to hold. */
class Site implements AsyncDisposable {
  readonly #state: TempFolder
  readonly #source = new FakeArtifactSource('app/')
  readonly #bad = new Set<string>()
  /** What was not healthy: the wish that the agent knew of, the way to ask, and the content. */
  readonly #unhealthy = new Set<string>()
  readonly #askedTwice: string[] = []
  #published = 0
  #seen = 0
  #hook = 'check'
  #hooks = 0
  #meanwhile: Step | undefined
  #held: { readonly content: string | undefined; readonly seen: number } | undefined
  #running: RunningWorker

  constructor(state: TempFolder) {
    this.#state = state
    this.#source.beforeList = () => {
      this.#seen = this.#published
    }
    this.#running = this.#start()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running.stop()
    await this.#state[Symbol.asyncDispose]()
  }

  async play(each: Command): Promise<void> {
    switch (each.do) {
      case 'publish':
        this.#published += 1
        this.#source.put('app/a', each.content, `"${this.#published}"`)
        break
      case 'judge':
        if (each.healthy) this.#bad.delete(each.content)
        else this.#bad.add(each.content)
        break
      case 'roll back':
        await this.#rollBack()
        break
      case 'stop':
        void this.#running.stop()
        break
      case 'restart':
        await this.#restart(each.hook)
        break
      case 'pass':
        this.#meanwhile = each.meanwhile
        await this.#pass()
    }
  }

  /** What is published at last, and is healthy, is current. */
  async endWell(): Promise<void> {
    this.#bad.clear()
    await this.play({ do: 'publish', content: 'last' })
    await this.#restart(this.#hook)
    await this.#running.pass()
    expect(await installedFiles(this.#state)).toEqual({ a: 'last' })
    expect(this.#running.status()).toMatchObject({ health: 'healthy', isHeld: false })
  }

  async #rollBack(): Promise<void> {
    const seen = this.#seen
    const isDone = await this.#running.rollBack(undefined).then(
      () => true,
      () => false,
    )
    if (isDone) this.#held = { content: await this.#current(), seen }
  }

  async #restart(hook: string): Promise<void> {
    await this.#running.stop()
    if (hook !== this.#hook) this.#hooks += 1
    this.#hook = hook
    this.#running = this.#start()
  }

  async #pass(): Promise<void> {
    const isStopped = await this.#running.pass().then(
      () => false,
      (error: unknown) => String(error).includes('stop'),
    )
    this.#meanwhile = undefined
    if (isStopped) await this.#restart(this.#hook)
    const current = await this.#current()
    if (current !== undefined) expect(['one', 'two', 'three']).toContain(current)
    if (this.#held?.seen === this.#seen) expect(current).toBe(this.#held.content)
    expect(this.#askedTwice).toEqual([])
  }

  async #current(): Promise<string | undefined> {
    return (await installedFiles(this.#state))?.['a']
  }

  #start(): RunningWorker {
    const runHook = async (_: string, signal: AbortSignal): Promise<Verdict> => await this.#answer(signal)
    return startWorker(this.#state, this.#source, { health: { hook: this.#hook, withinSeconds: 10 }, runHook })
  }

  async #answer(signal: AbortSignal): Promise<Verdict> {
    const current = (await this.#current()) ?? ''
    const asked = `${this.#seen} ${this.#hooks} ${current}`
    if (this.#unhealthy.has(asked)) this.#askedTwice.push(asked)
    const meanwhile = this.#meanwhile
    this.#meanwhile = undefined
    if (meanwhile !== undefined) await this.play(meanwhile)
    signal.throwIfAborted()
    if (!this.#bad.has(current)) return { healthy: true }
    this.#unhealthy.add(asked)
    return { healthy: false, why: 'it does not work' }
  }
}
