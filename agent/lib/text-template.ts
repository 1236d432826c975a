/** A stretch of text between placeholders, or the name of a placeholder. */
export type TemplatePart =
  { readonly kind: 'text'; readonly text: string } | { readonly kind: 'placeholder'; readonly name: string }

/**
 * The parts of a template with placeholders such as `{device.id}`, in order; no text is empty. A brace without its
 * other half stays in the text around it. There is no way to write a brace that is one.
 */
export function templateParts(template: string): readonly TemplatePart[] {
  return template.split(/(\{[^{}]*\})/).flatMap((part): readonly TemplatePart[] => {
    if (part === '') return []
    const isPlaceholder = part.startsWith('{') && part.endsWith('}')
    return [isPlaceholder ? { kind: 'placeholder', name: part.slice(1, -1) } : { kind: 'text', text: part }]
  })
}
