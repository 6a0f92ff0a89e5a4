//! A specialist outside Baton's workspace. It says one phrase and hands the baton back.

use baton_specialist::{Agent, Call, Clip, Grant, Specialist};

struct Phrase(Clip);

impl Agent for Phrase {
    async fn granted(&mut self, call: &Call, _grant: Grant) {
        if call.speaker().say(self.0.samples()).await.is_ok()
            && let Err(error) = call.hand_back("the phrase was said").await
        {
            eprintln!("not handed back: {error}");
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: outside FILE.wav")?;
    let clip = Clip::load(path)?;
    let specialist = Specialist::builder("outside").build()?;
    specialist.run(move |_call| Phrase(clip.clone())).await?;
    Ok(())
}
