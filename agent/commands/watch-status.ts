import { linkedAbort } from '../lib/abort.ts'
import { AgentError } from '../lib/errors.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { sleep } from '../lib/sleep.ts'
import { TerminalScreen } from '../lib/terminal-screen.ts'
import { visibleText } from '../lib/terminal-text.ts'
import { LogDrain } from '../status/log-drain.ts'
import { isUnprovisioned } from '../status/render-unprovisioned.ts'
import { changesOf, type Look } from '../status/status-changes.ts'
import { NoAgentError } from '../status/status-client.ts'
import { verdictLines } from '../status/status-layout.ts'
import { screenLines, type Silence } from '../status/status-screen.ts'
import { transfersOf } from '../status/transfer-bars.ts'
import { askReport, socketOf, type AgentLocation } from './ask-agent.ts'
import type { CommandContext } from './command-context.ts'
import { layoutFor, sizeOf } from './terminal-layout.ts'

/** Where it shows what it sees. */
interface View extends Disposable {
  show(look: Look): void
  /** Nobody answers; `last` is what was seen before that. */
  miss(silence: Silence, last: Look | undefined): void
}

const everyMs = 1_000
const endKeys = new Set(['q', 'Q', '\u0003', '\u0004'])

/**
 * `panorama-agent status --watch`: shows how the agent is, once a second, until the signal aborts or q is pressed, through any number of its
 * restarts. On a terminal it has the screen; else it prints a line per change. Throws when the agent may not be asked.
 */
export async function watchStatus(options: AgentLocation, context: CommandContext): Promise<void> {
  const location = { ...options, socket: await socketOf(options) }
  using end = linkedAbort(context.signal)
  const { signal } = end.controller
  const stop = (): void => {
    end.controller.abort(new AgentError('nobody watches any more'))
  }
  using view = viewFor(context, stop)
  const watch = new Watch(view)
  while (!signal.aborted && context.stdout.writable) {
    await watch.look(async () => await askReport(location, signal), signal)
    await sleep(everyMs, signal).catch(() => undefined)
  }
}

class Watch {
  readonly #view: View
  readonly #drain = new LogDrain()
  #last: Look | undefined
  #lastMs = monotonicMs()

  constructor(view: View) {
    this.#view = view
  }

  /** Asks once, and shows what comes of it. */
  async look(ask: () => ReturnType<typeof askReport>, signal: AbortSignal): Promise<void> {
    try {
      const status = await ask()
      this.#lastMs = monotonicMs()
      if (!isUnprovisioned(status)) this.#drain.note(status.logs.pendingBytes, this.#lastMs)
      const look = { status, transfers: transfersOf(status, this.#drain.progress) }
      this.#view.show(look)
      this.#last = look
    } catch (error) {
      if (signal.aborted) return
      if (!isPassing(error)) throw error
      this.#view.miss({ reason: error.message, seconds: (monotonicMs() - this.#lastMs) / 1_000 }, this.#last)
    }
  }
}

/** Whether it may end by itself: the agent is away, or did not answer in time. */
function isPassing(error: unknown): error is AgentError {
  return error instanceof NoAgentError || (error instanceof AgentError && error.retryable)
}

function viewFor(context: CommandContext, stop: () => void): View {
  return context.terminal?.isScreen === true ? new ScreenView(context, stop) : new LineView(context.stdout)
}

/** A line per change, for pipes, files and dumb terminals. */
class LineView implements View {
  readonly #output: NodeJS.WritableStream
  #before: Look | undefined
  #isSilent = false

  constructor(output: NodeJS.WritableStream) {
    this.#output = output
  }

  show(look: Look): void {
    const at = `${look.status.clock.now.slice(0, 19)}Z`
    if (this.#isSilent) this.#output.write(`${at} the agent answers\n`)
    this.#isSilent = false
    for (const line of changesOf(this.#before, look)) this.#output.write(`${at} ${line}\n`)
    this.#before = look
  }

  miss({ reason }: Silence): void {
    if (this.#isSilent) return
    this.#isSilent = true
    const at = `${new Date().toISOString().slice(0, 19)}Z`
    this.#output.write(`${at} ${visibleText(reason)}: it was stopped, or is starting again; asked every second\n`)
  }

  [Symbol.dispose](): void {
    // nothing is left to be undone
  }
}

/** The whole terminal, drawn anew when its size changes. */
class ScreenView implements View {
  readonly #context: CommandContext
  readonly #screen: TerminalScreen
  readonly #owned = new DisposableStack()
  #shown: { readonly look: Look | undefined; readonly silence?: Silence } = { look: undefined }

  constructor(context: CommandContext, stop: () => void) {
    this.#context = context
    this.#screen = this.#owned.use(new TerminalScreen(context.stdout))
    const redraw = (): void => {
      this.#screen.forget()
      this.#draw()
    }
    this.#owned.use(readKeys(context, { stop, redraw }))
    context.stdout.on('resize', redraw)
    this.#owned.defer(() => context.stdout.off('resize', redraw))
  }

  show(look: Look): void {
    this.#shown = { look }
    this.#draw()
  }

  miss(silence: Silence, last: Look | undefined): void {
    this.#shown = { look: last, silence }
    this.#draw()
  }

  [Symbol.dispose](): void {
    this.#owned.dispose()
    const { look, silence } = this.#shown
    const { stdout } = this.#context
    if (silence !== undefined) stdout.write(`${visibleText(silence.reason)}\n`)
    else if (look !== undefined) stdout.write(`${verdictLines(look.status, layoutFor(this.#context)).join('\n')}\n`)
  }

  #draw(): void {
    const { stdout } = this.#context
    const { columns: width, rows: height } = sizeOf(stdout) ?? { columns: 80, rows: 24 }
    const { look, silence } = this.#shown
    const content = { status: look?.status, transfers: look?.transfers ?? [], silence }
    this.#screen.draw(screenLines(content, { width, height, paint: layoutFor(this.#context).paint }))
  }
}

interface KeyActions {
  readonly stop: () => void
  /** For any other key: the terminal may show what others wrote. */
  readonly redraw: () => void
}

/** Takes single keys, Ctrl-C among them, until disposed. Nothing is read from what is no terminal. */
function readKeys({ terminal }: CommandContext, { stop, redraw }: KeyActions): Disposable {
  const input = terminal?.input()
  if (input?.isTTY !== true) return { [Symbol.dispose]: () => undefined }
  const onKeys = (keys: Buffer): void => {
    if (Array.from(keys.toString('latin1')).some((key) => endKeys.has(key))) stop()
    else redraw()
  }
  input.setRawMode(true)
  input.on('data', onKeys)
  return {
    [Symbol.dispose]() {
      input.off('data', onKeys)
      input.setRawMode(false)
      input.pause()
    },
  }
}
