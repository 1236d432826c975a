const enter = '\u001b[?1049h\u001b[?25l\u001b[?7l'
const clear = '\u001b[H\u001b[2J'
const leave = '\u001b[H\u001b[J\u001b[?7h\u001b[?25h\u001b[?1049l'

/**
 * A terminal as a whole (ECMA-48, and the alternate screen of xterm where there is one), until disposed. Only lines that changed are written, so that it
 * does not flicker and a slow serial console keeps up.
 */
export class TerminalScreen implements Disposable {
  readonly #output: NodeJS.WritableStream
  #shown: readonly string[] | undefined

  constructor(output: NodeJS.WritableStream) {
    this.#output = output
    output.write(enter)
  }

  /** Shows these lines and nothing else. None may be wider than the terminal, and no more may be there than it is high. */
  draw(lines: readonly string[]): void {
    const shown = this.#shown ?? []
    const changed = lines.flatMap((line, index) => (line === shown[index] ? [] : [`${lineAt(index)}${line}\u001b[K`]))
    const rest = shown.length > lines.length ? `${lineAt(lines.length)}\u001b[J` : ''
    const text = `${this.#shown === undefined ? clear : ''}${changed.join('')}${rest}`
    if (text !== '') this.#output.write(text)
    this.#shown = lines
  }

  /** The next time everything is drawn: the terminal may show something else than it was told. */
  forget(): void {
    this.#shown = undefined
  }

  [Symbol.dispose](): void {
    this.#output.write(leave)
  }
}

function lineAt(index: number): string {
  return `\u001b[${index + 1};1H`
}
