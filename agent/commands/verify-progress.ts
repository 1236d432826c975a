import { sleep } from '../lib/sleep.ts'
import type { StatusDocument } from '../status/status-document.ts'

type Progress = NonNullable<StatusDocument['artifacts'][number]['verification']>

export interface ShownVerification {
  /** Of the artifact. */
  readonly name: string
  readonly terminal: NodeJS.WritableStream
  readonly everyMs: number
  readonly status: () => Promise<StatusDocument>
  /** Aborts when it has ended. */
  readonly ended: AbortSignal
}

const clearLine = '\r\u001b[K'

/** Whether a person looks at it, and a line may be written over. */
export function isTerminal(stream: NodeJS.WritableStream): boolean {
  return 'isTTY' in stream && stream.isTTY === true
}

/**
 * Keeps one line on a terminal that says how far a verification is, until that has ended; nothing is left of it then. Never
 * fails: what asks for the verification itself tells what went wrong.
 */
export async function showVerification({ name, terminal, everyMs, status, ended }: ShownVerification): Promise<void> {
  try {
    while (!ended.aborted) {
      await sleep(everyMs, ended)
      const progress = (await status()).artifacts.find((artifact) => artifact.name === name)?.verification
      if (progress !== undefined) terminal.write(`${clearLine}${progressText(progress)}`)
    }
  } catch {
    // it has ended, or the agent cannot say
  } finally {
    terminal.write(clearLine)
  }
}

function progressText({ files, totalFiles, bytes, totalBytes }: Progress): string {
  const percent = totalBytes === 0 ? 100 : Math.min(100, Math.floor((100 * bytes) / totalBytes))
  return `read ${percent} %: ${files} of ${totalFiles} files, ${bytes} of ${totalBytes} bytes`
}
