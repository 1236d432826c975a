import { monotonicMs } from '../lib/monotonic.ts'
import type { PublishProgress } from '../publishing/publish-release.ts'
import { isTerminal } from './verify-progress.ts'

const redrawMs = 100

/** Shows how far an upload is: one line that changes on a terminal, elsewhere a line at each tenth. */
export function progressWriter(stdout: NodeJS.WritableStream): (progress: PublishProgress) => void {
  let [shownTenth, shownMs] = [0, -Infinity]
  return (progress) => {
    const { files, totalFiles, bytes, totalBytes } = progress
    const tenth = Math.floor((10 * (bytes + files)) / (totalBytes + totalFiles))
    const isLast = files === totalFiles
    if (isTerminal(stdout)) {
      if (!isLast && monotonicMs() - shownMs < redrawMs) return
      shownMs = monotonicMs()
      stdout.write(`\r\u001b[K${progressText(progress)}${isLast ? '\n' : ''}`)
      return
    }
    if (tenth === shownTenth) return
    shownTenth = tenth
    stdout.write(`${progressText(progress)}\n`)
  }
}

function progressText({ files, totalFiles, bytes, totalBytes }: PublishProgress): string {
  const percent = totalBytes === 0 ? 100 : Math.floor((100 * bytes) / totalBytes)
  return `uploaded ${percent} %: ${files} of ${totalFiles} files, ${bytes} of ${totalBytes} bytes`
}
