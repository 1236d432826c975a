/** One successful system call. `begin` and `end` number the lines on which it began and ended. */
export interface SystemCall {
  readonly name: string
  /** Quoted strings and, in angle brackets, what descriptors stand for, in the order of the arguments. */
  readonly paths: readonly string[]
  readonly begin: number
  readonly end: number
}

interface Begun {
  readonly name: string
  readonly args: string
  readonly begin: number
}

/** Reads what `strace -f -y -o` wrote. Calls that failed, signals and exits are left out. */
export function parseSystemCalls(trace: string): readonly SystemCall[] {
  const unfinished = new Map<string, Begun>()
  return trace.split('\n').flatMap((line, index): readonly SystemCall[] => {
    const begun = /^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$/.exec(line)
    if (begun !== null) {
      const [, thread = '', name = '', args = ''] = begun
      unfinished.set(thread, { name, args, begin: index })
      return []
    }
    const resumed = /^(\d+) +<\.\.\. \w+ resumed>(.*)\) += (-?\d+)/.exec(line)
    if (resumed !== null) {
      const [, thread = '', rest = '', result = ''] = resumed
      const call = unfinished.get(thread)
      return call === undefined ? [] : finished({ ...call, args: call.args + rest }, { end: index, result })
    }
    const [, name = '', args = '', result = ''] = /^\d+ +(\w+)\((.*)\) += (-?\d+)/.exec(line) ?? []
    return name === '' ? [] : finished({ name, args, begin: index }, { end: index, result })
  })
}

function finished(
  { name, args, begin }: Begun,
  { end, result }: { readonly end: number; readonly result: string },
): readonly SystemCall[] {
  if (result.startsWith('-')) return []
  const paths = [...args.matchAll(/"((?:[^"\\]|\\.)*)"|\d<([^>]*)>/g)].map(([, quoted, open]) => quoted ?? open ?? '')
  return [{ name, paths, begin, end }]
}
