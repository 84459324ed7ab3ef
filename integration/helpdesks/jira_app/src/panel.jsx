// Shows what Ticket Elevate answers about this issue, and sends a press of the button there. It decides nothing.
import React, { useCallback, useEffect, useRef, useState } from "react";
import ForgeReconciler, { Button, Inline, Lozenge, Stack, Strong, Text, useProductContext } from "@forge/react";
import { invokeRemote, router } from "@forge/bridge";
import { CONNECTION } from "./connection";

const AWAY = { title: "Ticket Elevate does not answer.", sentences: [], again_after: 30 };

const Panel = () => {
  const context = useProductContext();
  const issue = context?.extension?.issue?.key;
  const locale = context?.locale || "en";
  const [said, setSaid] = useState(null);
  const [busy, setBusy] = useState(false);
  const last = useRef({});

  const call = useCallback(
    async (action) => {
      setBusy(true);
      const { shown, elevation } = last.current;
      const asked = { action, ticket: issue, shown, follows: elevation };
      let told;
      try {
        const answer = await invokeRemote({
          path: `/panels/${CONNECTION}`,
          method: "POST",
          headers: { "Content-Type": "application/json", "Accept-Language": locale.replace("_", "-") },
          body: asked,
        });
        told = answer?.body?.sentences ? answer.body : AWAY; // a refusal has a title, too, but nothing to show
      } catch (error) {
        told = AWAY;
      }
      // What was followed is remembered, so that its end can be told.
      last.current = { shown: told.shown, elevation: told.elevation || elevation };
      setSaid(told);
      setBusy(false);
    },
    [issue, locale],
  );

  useEffect(() => {
    if (issue) call("look");
  }, [issue, call]);

  useEffect(() => {
    if (!said?.again_after) return undefined;
    const waiting = setTimeout(() => call("look"), said.again_after * 1000);
    return () => clearTimeout(waiting);
  }, [said, call]);

  if (!said) return <Text>…</Text>;
  const until = said.until && new Date(said.until).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return (
    <Stack space="space.100">
      <Inline space="space.100" alignBlock="center">
        <Text>
          <Strong>{said.title}</Strong>
        </Text>
        {said.label && <Lozenge>{said.label}</Lozenge>}
        {until && <Text>→ {until}</Text>}
      </Inline>
      {said.sentences.map((sentence) => (
        <Text key={sentence}>{sentence}</Text>
      ))}
      <Inline space="space.100">
        {said.button && (
          <Button appearance="primary" isDisabled={busy} onClick={() => call("elevate")}>
            {said.button}
          </Button>
        )}
        {said.link && <Button onClick={() => router.open(said.url)}>{said.link}</Button>}
      </Inline>
    </Stack>
  );
};

ForgeReconciler.render(
  <React.StrictMode>
    <Panel />
  </React.StrictMode>,
);
