import type { Command, Option } from 'commander'

/** A command with all that can follow it. */
export interface CommandOutline {
  /** `config check`; empty for the program itself. */
  readonly path: string
  readonly commands: readonly string[]
  readonly options: readonly OptionOutline[]
}

export interface OptionOutline {
  readonly long: string
  /** What its value is called; undefined when it takes none. */
  readonly value: string | undefined
}

/** Every command of a program, itself first, as its own help names them. */
export function outlineCommands(program: Command): readonly CommandOutline[] {
  return [...walk(program, '')]
}

/** The bash completion of a program. */
export function renderCompletion(name: string, outlines: readonly CommandOutline[]): string {
  const paths = outlines.map(({ path }) => path).filter((path) => path !== '')
  const files = new Set(
    outlines.flatMap(({ options }) => options.filter(({ value }) => takesPath(value)).map(({ long }) => long)),
  )
  const words = outlines.map(
    ({ path, commands, options }) =>
      `    '${path}') words='${[...commands, ...options.map(({ long }) => long)].join(' ')}' ;;`,
  )
  const identifier = `_${name.replaceAll('-', '_')}`
  return `# bash completion of ${name}, generated from its command line
${identifier}() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} command='' words='' word
  case $previous in
    ${[...files].join(' | ')})
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      return
      ;;
  esac
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "\${command:+$command }$word" in
      ${paths.map((path) => `'${path}'`).join(' | ')}) command="\${command:+$command }$word" ;;
    esac
  done
  case $command in
${words.join('\n')}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -F ${identifier} ${name}
`
}

function* walk(command: Command, path: string): Generator<CommandOutline> {
  const help = command.createHelp()
  const commands = help.visibleCommands(command).filter((child) => command.commands.includes(child))
  yield {
    path,
    commands: commands.map((child) => child.name()),
    options: help.visibleOptions(command).map(outlineOption),
  }
  for (const child of commands) yield* walk(child, path === '' ? child.name() : `${path} ${child.name()}`)
}

function outlineOption({ long, flags, required, optional }: Option): OptionOutline {
  const [, value] = /[<[]([^>\]]+)[>\]]/.exec(flags) ?? []
  return { long: long ?? flags, value: required || optional ? value : undefined }
}

function takesPath(value: string | undefined): boolean {
  return value !== undefined && ['file', 'path', 'folder'].includes(value)
}
